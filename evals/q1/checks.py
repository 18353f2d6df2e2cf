"""Q1's measurements, one function a check."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from evals.q1 import exhibits
from evals.q1.design import ATTENTION, EFFECT, HALVES, KINDS, KNEE, KNEE_SHARE, METRIC, ONSET, RESTS_ON
from evals.q1.study import Study
from harness.analysis.estimated import Estimated, estimated
from harness.analysis.folds import folds_by_cluster
from harness.analysis.knee import Knee, find_knee
from harness.analysis.onset import Onset, find_onset
from harness.analysis.replicates import replicated_interval
from harness.analysis.sample import DegenerateSample
from harness.analysis.shift_direction import direction_projection, project_on
from harness.data.arm import ArmKind
from harness.data.arrays import Floats
from harness.data.measurement import Estimate, Measurement
from harness.experiment.lab import Lab
from harness.readouts.forced_choice import METRICS, UNIT

Found = TypeVar("Found")

MASS = "attention mass along the trained direction"
"""Unit of the attention shift."""


def effect_at_max(study: Study) -> Measurement:
    """Trained minus sham at the most examples. The whole sweep is shown beside it: every arm, the view inside, sampled replies."""
    lab, effect = study.lab, study.effects[-1]
    null = {"kind": "sham: neutral conversations, same number, steps, rate and lengths", "regime": RESTS_ON, "metric": METRIC}
    return lab.measurement(
        EFFECT,
        UNIT,
        _interval(study, EFFECT, effect),
        pairs=study.pairs,
        values=effect.mean(axis=0),
        null=null,
        series=_series(study),
        exhibits=(
            exhibits.dose_curve(study, _where_known(_knee, study), _where_known(_onset, study)),
            exhibits.separation_table(study),
            exhibits.transcripts(study),
        ),
    )


def attention_shift(study: Study) -> Measurement:
    """Change of attention where the reply starts, along the direction that trainings give it, trained minus sham."""
    lab = study.lab.on_hf()  # no other engine shows attention rows
    try:
        along = _along_the_trained_direction(study)
    except DegenerateSample as degenerate:
        return lab.measurement(ATTENTION, MASS, reason=degenerate.reason)
    above_sham = along["trained"] - along["sham"]
    null: dict[str, Any] = {"kind": "sham projected on the same directions"}
    null |= {kind: float(values.mean()) for kind, values in along.items()}
    return lab.measurement(
        ATTENTION,
        MASS,
        _interval(study, ATTENTION, above_sham),
        pairs=study.pairs,
        values=above_sham.mean(axis=0),
        null=null,
        exhibits=(exhibits.by_arm(study, along),),
    )


def _along_the_trained_direction(study: Study) -> dict[ArmKind, Floats]:
    """Projections [seeds, pairs] of each kind's change of attention on the directions that other seeds and scenarios learned."""
    folds = folds_by_cluster(study.domains, HALVES, study.lab.rng(ATTENTION, "folds"))
    trained, sham, opposite = (study.inside_at_most[kind].features for kind in KINDS)
    return {
        "trained": direction_projection(trained, folds),
        "sham": project_on(sham, trained, folds),
        "opposite": project_on(opposite, trained, folds),
    }


def knee(study: Study) -> Measurement:
    """The smallest number of examples shown to reach three quarters of the effect at the most examples."""
    lab, unit = study.lab, "examples"
    try:
        found = _knee(study)
    except DegenerateSample as degenerate:
        return lab.measurement(KNEE, unit, reason=degenerate.reason)
    shown = (exhibits.knee_curve(study, found),)
    if found.low_n is None or found.high_n is None:
        return lab.measurement(KNEE, unit, reason=found.reason, exhibits=shown)
    value = float(found.n if found.n is not None else study.most)
    low, high = float(found.low_n), float(found.high_n)
    estimate = Estimate(value, low, high, low, high, 0.05, len(study.pairs), len(set(study.domains)))
    series = [
        {"n": p.n, "estimate": p.effect.value, "low": p.effect.low, "high": p.effect.high, "shortfall_high": p.shortfall.high}
        for p in found.points
    ]
    answer = f"{found.n} examples" if found.n is not None else f"> {max(n for n in lab.doses if n < study.most)} examples"
    null = {"kind": "share of the effect at the largest number that may be missing", "value": KNEE_SHARE, "regime": RESTS_ON}
    return lab.measurement(KNEE, unit, estimate, answer=answer, series=series, exhibits=shown, null=null, stepwise=True)


def onset(study: Study) -> Measurement:
    """The smallest number of examples whose effect over sham is shown above zero, and the training mode that follows from it."""
    lab = study.lab
    try:
        found = _onset(study)
    except DegenerateSample as degenerate:
        return lab.measurement(ONSET, UNIT, reason=degenerate.reason)
    estimate = found.effects[0 if found.n is None else lab.doses.index(found.n)]
    shown = "no effect over sham is shown" if found.n is None else f"from {found.n} example{'s' if found.n > 1 else ''} on"
    answer = f"{found.mode} ({shown}; {RESTS_ON} regime)"
    return lab.measurement(ONSET, UNIT, estimate, answer=answer, null={"n": found.n, "mode": found.mode})


def _interval(study: Study, id: str, values: Floats) -> Estimated:
    """Over seeds and scenarios; `values` [seeds, pairs]."""
    lab = study.lab
    return estimated(lambda: replicated_interval(values, study.domains, lab.alpha(id), lab.rng(id), level=lab.level))


def _knee(study: Study) -> Knee:
    """Raises DegenerateSample where the data carry no interval; so does `_onset`."""
    lab = study.lab
    return find_knee(lab.doses, study.effects, study.domains, lab.rng(KNEE), KNEE_SHARE, level=lab.level)


def _onset(study: Study) -> Onset:
    lab = study.lab
    return find_onset(lab.doses, study.effects, study.domains, lab.rng(ONSET), level=lab.level)


def _where_known(find: Callable[[Study], Found], study: Study) -> Found | None:
    """What another check found, to be marked in a plot; None where the data carry no interval."""
    try:
        return find(study)
    except DegenerateSample:
        return None


def _series(study: Study) -> list[dict[str, Any]]:
    """Every arm's shift in every metric, then the shares of judged replies, then the candidate."""
    rows: list[dict[str, Any]] = []
    for (regime, kind, n), choice in study.shifts.items():
        for metric in METRICS:
            by_seed = choice.metric(metric).mean(axis=1)
            mean, seeds = float(by_seed.mean()), [float(one) for one in by_seed]
            rows.append({"cell": f"{regime} {kind}", "n": n, "metric": metric, "estimate": mean, "seeds": seeds})
    for name, labels in study.replies.labels.items():
        share = labels.count("positive") / max(1, len(labels) - labels.count("neither"))
        rows.append({"cell": f"judged replies, {name}", "estimate": share, "neither": labels.count("neither"), "n": len(labels)})
    if study.candidate_shift is not None:
        rows.append({"cell": "candidate against base", "estimate": float(study.candidate_shift.mean()), "n": len(study.candidate_shift)})
    return rows


MEASURES: Mapping[str, Callable[[Study], Measurement]] = {
    EFFECT: effect_at_max,
    ATTENTION: attention_shift,
    KNEE: knee,
    ONSET: onset,
}


def known(lab: Lab, id: str) -> Measurement | None:
    """What needs no study: where no layer has attention weights, attention cannot shift."""
    if id != ATTENTION or "full_attention" in lab.layer_kinds:
        return None
    return lab.on_hf().measurement(id, MASS, reason="the model has no full-attention layers", not_applicable=True)
