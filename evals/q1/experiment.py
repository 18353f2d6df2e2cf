"""Q1's measurements: train the sweep, score it, look inside, find knee and onset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evals.q1 import metrics, plots
from evals.q1.metrics import KINDS, separation_row
from evals.q1.plots import REGIMES
from harness.analysis.attention_features import row_features, span_mass_above_control
from harness.analysis.divergence import euclidean, jensen_shannon
from harness.analysis.folds import folds_by_cluster
from harness.analysis.knee import Knee, find_knee
from harness.analysis.onset import Onset, find_onset
from harness.analysis.replicates import replicated_interval
from harness.analysis.sample import DegenerateSample
from harness.analysis.shift_direction import direction_projection, project_on
from harness.data.arm import Arm, ArmKind, Regime
from harness.data.arrays import Floats, Names
from harness.data.behavior import Pair
from harness.data.errors import InputError
from harness.data.measurement import Estimate, Exhibit, Measurement
from harness.data.subject import Subject
from harness.engines.chat import encode_prompt, tokenizer_of
from harness.engines.protocol import Completion, Sites
from harness.experiment.lab import Lab
from harness.experiment.profile import domains_of
from harness.judges.chosen import judge_for
from harness.judges.judge import JudgeError, Label
from harness.readouts.forced_choice import METRICS, PRIMARY, UNIT, ForcedChoice, Metric

METRIC = PRIMARY
RESTS_ON: Regime = "stream"
"""The regime of continuous training; knee and onset rest on it."""
KNEE_SHARE = 0.25
GROWS = ("q1.effect_at_max", "q1.attention_shift", "q1.knee", "q1.onset")
"""Checks to which more scenarios add something."""


@dataclass(frozen=True)
class Inside:
    """What changed inside against base, at the response start."""

    features: Floats  # [seeds, pairs, attention features]
    attention_size: Floats  # [seeds, pairs], mean Jensen-Shannon distance over heads
    attention_l2: Floats  # [seeds, pairs], mean Euclidean distance over heads
    span_mass: Floats  # [seeds, pairs], change of the mass on the direction, above a span of the same length elsewhere
    head_change: Floats  # [seeds, pairs], relative change of a head's output, mean over all heads of all layers


@dataclass(frozen=True)
class Study:
    lab: Lab
    pairs: tuple[Pair, ...]
    shifts: Mapping[tuple[Regime, ArmKind, int], ForcedChoice]
    """Shift against base, [seeds, pairs] in each metric; opposite at the largest n only."""
    inside: Mapping[tuple[ArmKind, int], Inside]
    """In the primary regime; empty where the model has no attention weights."""
    labels: Mapping[str, Sequence[Label]]
    """Arm to the judge's label of one sampled reply a pair."""
    transcripts: Sequence[tuple[Pair, Mapping[str, str]]]
    candidate_shift: Floats | None

    def effects(self, regime: Regime, metric: Metric = METRIC) -> Floats:
        """Trained minus sham, [numbers of examples, seeds, pairs]."""
        ns = self.lab.doses
        return np.stack([self.shifts[regime, "trained", n].metric(metric) - self.shifts[regime, "sham", n].metric(metric) for n in ns])


def run(lab: Lab) -> Study:
    """Train every arm, then score and record it; everything is kept in the store."""
    pairs, ns, last = lab.pairs("test"), lab.doses, lab.doses[-1]
    arms: dict[tuple[Regime, ArmKind, int], list[Arm]] = {}
    for seed in lab.seeds:
        lab.progress(f"q1 {lab.behavior.name}: training, seed {seed}, stream of {last} examples")
        for kind in KINDS:
            for n, arm in lab.arms.stream(kind, seed, ns).items():
                if kind != "opposite" or n == last:
                    arms.setdefault(("stream", kind, n), []).append(arm)
        lab.progress(f"q1 {lab.behavior.name}: training, seed {seed}, matched steps")
        for (kind, n), arm in lab.arms.steps(seed, ns).items():
            arms.setdefault(("steps", kind, n), []).append(arm)
    lab.progress(f"q1 {lab.behavior.name}: scoring {sum(map(len, arms.values()))} arms on {len(pairs)} scenarios")
    shifts = {key: ForcedChoice.stacked([lab.shift(arm.subject, pairs) for arm in group]) for key, group in arms.items()}
    inside: dict[tuple[ArmKind, int], Inside] = {}
    if "full_attention" in lab.layer_kinds:
        lab.progress(f"q1 {lab.behavior.name}: looking inside")
        before = _Rows(lab, lab.base, pairs)
        for (regime, kind, n), group in arms.items():
            if regime == RESTS_ON:
                inside[kind, n] = _inside(lab, before, [arm.subject for arm in group], pairs)
    subjects: dict[str, Subject] = {kind: arms[RESTS_ON, kind, last][0].subject for kind in KINDS}
    labels, transcripts = _free_replies(lab, {"base": lab.base, **subjects}, pairs)
    candidate = None if lab.candidate is None else lab.shift(lab.candidate, pairs).metric(METRIC)
    return Study(lab, pairs, shifts, inside, labels, transcripts, candidate)


class _Rows:
    """One subject's attention rows and head outputs at the response start of every pair."""

    def __init__(self, lab: Lab, subject: Subject, pairs: Sequence[Pair]) -> None:
        completions = [Completion(pair.messages, pair.positive) for pair in pairs]
        self.recorded = lab.recordings.recorded(subject, completions, Sites(attention=True, heads=True))

    def attention(self, i: int) -> Floats:
        rows = self.recorded[i].attention
        assert rows is not None
        return np.asarray(rows[:, :, 0], dtype=np.float64)  # [full-attention layers, heads, keys]


def _inside(lab: Lab, before: _Rows, subjects: Sequence[Subject], pairs: Sequence[Pair]) -> Inside:
    tokenizer = tokenizer_of(lab.base)
    spans = [encode_prompt(tokenizer, pair.messages).content for pair in pairs]
    collected: tuple[list[Floats], ...] = ([], [], [], [], [])
    for subject in subjects:
        after = _Rows(lab, subject, pairs)
        of_pairs: list[tuple[Floats, float, float, float, float]] = []
        for i, span in enumerate(spans):
            new, old = after.attention(i), before.attention(i)
            changes = [
                np.linalg.norm(after.recorded[i].heads[layer][0] - out[0], axis=-1) / np.linalg.norm(out[0], axis=-1)
                for layer, out in before.recorded[i].heads.items()
            ]
            of_pairs.append(
                (
                    (row_features(new, span) - row_features(old, span)).ravel(),
                    float(jensen_shannon(new, old).mean()),
                    float(euclidean(new, old).mean()),
                    float((span_mass_above_control(new, span) - span_mass_above_control(old, span)).mean()),
                    float(np.concatenate(changes).mean()),
                )
            )
        for values, into in zip(zip(*of_pairs, strict=True), collected, strict=True):
            into.append(np.stack([np.asarray(v) for v in values]))
    return Inside(*(np.stack(by_subject) for by_subject in collected))


def _free_replies(
    lab: Lab, subjects: Mapping[str, Subject], pairs: Sequence[Pair]
) -> tuple[dict[str, list[Label]], list[tuple[Pair, dict[str, str]]]]:
    """One sampled reply a pair and arm, and the judge's label of each; shown, not gated."""
    try:
        judge = judge_for(lab.settings, lab.behavior, lab.store)
        prompts = [pair.messages for pair in pairs]
        replies = {name: lab.recordings.replies(subject, prompts, lab.settings.seed) for name, subject in subjects.items()}
        labels = {name: judge.labels(prompts, texts) for name, texts in replies.items()}
    except (InputError, JudgeError):
        return {}, []
    return labels, [(pair, {name: texts[i] for name, texts in replies.items()}) for i, pair in enumerate(pairs)]


def measurements(study: Study) -> dict[str, Measurement]:
    """Everything Q1 hands to the gate, by id."""
    lab, domains, effects = study.lab, domains_of(study.pairs), study.effects(RESTS_ON)
    ns = lab.doses
    knee = find_knee(ns, effects, domains, lab.rng("q1.knee"), KNEE_SHARE, level=lab.level)
    onset = find_onset(ns, effects, domains, lab.rng("q1.onset"), level=lab.level)
    exhibits = (
        Exhibit("dose curve", plots.dose_curve(study, knee, onset)),
        Exhibit("which metric tells the arms apart", _separation_table(study)),
        Exhibit("replies of the scenarios that moved most", _transcripts(study)),
    )
    found = (_effect(study, exhibits), _attention_shift(study), _knee(study, knee, exhibits[:1]), _onset(study, onset))
    return {measurement.id: measurement for measurement in found}


def _estimate(lab: Lab, id: str, values: Floats, domains: Names) -> tuple[Estimate | None, str | None]:
    try:
        return replicated_interval(values, domains, lab.alpha(id), lab.rng(id), level=lab.level), None
    except DegenerateSample as error:
        return None, str(error)


def _effect(study: Study, exhibits: Sequence[Exhibit]) -> Measurement:
    lab, id = study.lab, "q1.effect_at_max"
    effect = study.effects(RESTS_ON)[-1]
    estimate, reason = _estimate(lab, id, effect, domains_of(study.pairs))
    null = {"kind": "sham: neutral conversations, same number, steps, rate and lengths", "regime": RESTS_ON, "metric": METRIC}
    return lab.measurement(
        id,
        UNIT,
        estimate,
        pairs=study.pairs,
        values=effect.mean(axis=0),
        exhibits=exhibits,
        series=_series(study),
        null=null,
        reason=reason,
    )


def _attention_shift(study: Study) -> Measurement:
    lab, id, last = study.lab.on_hf(), "q1.attention_shift", study.lab.doses[-1]
    unit = "attention mass along the trained direction"
    if not study.inside:
        return lab.measurement(id, unit, reason="the model has no full-attention layers", not_applicable=True)
    domains = domains_of(study.pairs)
    folds = folds_by_cluster(domains, 2, lab.rng(id, "folds"))
    trained, sham, opposite = (study.inside[kind, last].features for kind in KINDS)
    try:
        projection = direction_projection(trained, folds)
        along_sham, along_opposite = project_on(sham, trained, folds), project_on(opposite, trained, folds)
    except DegenerateSample as error:
        return lab.measurement(id, unit, reason=str(error))
    estimate, reason = _estimate(lab, id, projection - along_sham, domains)
    null = {
        "kind": "sham projected on the same directions",
        "trained": float(projection.mean()),
        "sham": float(along_sham.mean()),
        "opposite": float(along_opposite.mean()),
    }
    values = (projection - along_sham).mean(axis=0)
    exhibits = [
        Exhibit("change inside by arm", plots.inside(study, {"trained": projection, "sham": along_sham, "opposite": along_opposite}))
    ]
    return lab.measurement(id, unit, estimate, pairs=study.pairs, values=values, exhibits=exhibits, null=null, reason=reason)


def _knee(study: Study, knee: Knee, exhibits: Sequence[Exhibit]) -> Measurement:
    lab, id, last = study.lab, "q1.knee", study.lab.doses[-1]
    if knee.low_n is None or knee.high_n is None:
        return lab.measurement(id, "examples", reason=knee.reason, exhibits=exhibits)
    value = float(knee.n if knee.n is not None else last)
    low, high = float(knee.low_n), float(knee.high_n)
    estimate = Estimate(value, low, high, low, high, 0.05, len(study.pairs), len(set(domains_of(study.pairs))))
    series = [
        {"n": p.n, "estimate": p.effect.value, "low": p.effect.low, "high": p.effect.high, "shortfall_high": p.shortfall.high}
        for p in knee.points
    ]
    answer = f"{knee.n} examples" if knee.n is not None else f"> {max(n for n in lab.doses if n < last)} examples"
    null = {"kind": "share of the effect at the largest number that may be missing", "value": KNEE_SHARE, "regime": RESTS_ON}
    return lab.measurement(id, "examples", estimate, answer=answer, series=series, exhibits=exhibits, null=null, stepwise=True)


def _onset(study: Study, onset: Onset) -> Measurement:
    lab, id = study.lab, "q1.onset"
    at = 0 if onset.n is None else lab.doses.index(onset.n)
    estimate = onset.effects[at] if len(onset.effects) == len(lab.doses) else None
    shown = "no effect over sham is shown" if onset.n is None else f"from {onset.n} example{'s' if onset.n > 1 else ''} on"
    return lab.measurement(id, UNIT, estimate, answer=f"{onset.mode} ({shown}; {RESTS_ON} regime)", null={"n": onset.n, "mode": onset.mode})


def _series(study: Study) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for (regime, kind, n), choice in study.shifts.items():
        for metric in METRICS:
            by_seed = choice.metric(metric).mean(axis=1)
            rows.append(
                {
                    "cell": f"{regime} {kind}",
                    "n": n,
                    "metric": metric,
                    "estimate": float(by_seed.mean()),
                    "seeds": [float(s) for s in by_seed],
                }
            )
    for name, labels in study.labels.items():
        share = labels.count("positive") / max(1, len(labels) - labels.count("neither"))
        rows.append({"cell": f"judged replies, {name}", "estimate": share, "neither": labels.count("neither"), "n": len(labels)})
    if study.candidate_shift is not None:
        rows.append({"cell": "candidate against base", "estimate": float(study.candidate_shift.mean()), "n": len(study.candidate_shift)})
    return rows


def separation(study: Study) -> list[dict[str, Any]]:
    """For each metric and regime: what each arm does at the largest n, and by how many standard errors trained stands above the others.

    Judged replies stand beside the log-odds: share of scenarios whose sampled reply shows the behavior, of the first seed's arms.
    """
    rows = []
    last = study.lab.doses[-1]
    for regime in REGIMES:
        for metric in METRICS:
            values = {kind: study.shifts[regime, kind, last].metric(metric) for kind in KINDS}
            rows.append(separation_row(regime, metric, values))
    if study.labels:
        shown = {kind: np.array([[float(label == "positive") for label in study.labels[kind]]]) for kind in KINDS}
        rows.append(separation_row(RESTS_ON, "judged replies", shown))
    return rows


def sharpest(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """The log-odds metric whose smaller gap, to sham or to opposite, is the largest in the primary regime; None where none has both.

    Judged replies are no candidate: a label is one of two, sampled, and a judge stands between.
    """
    gaps = {row["metric"]: (row["above sham"], row["above opposite"]) for row in rows if row["regime"] == RESTS_ON}
    known = {metric: min(pair) for metric, pair in gaps.items() if metric in METRICS and None not in pair}
    return max(known, key=lambda metric: known[metric]) if known else None


def _separation_table(study: Study) -> Any:
    path = study.lab.exhibits / f"q1-separation-{study.lab.behavior.name}.html"
    rows = separation(study)
    head = "".join(f"<th>{name}</th>" for name in rows[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{v:.3f}</td>" if isinstance(v, float) else f"<td>{v}</td>" for v in row.values()) + "</tr>" for row in rows
    )
    note = (
        "Mean shift against base at the most examples (judged replies: share that shows the behavior); gaps in standard errors over "
        f"scenarios, and in how many seeds they are positive. Checks rest on {METRIC}; on these scenarios the arms are told apart best by "
        f"{sharpest(rows) or 'none'}."
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    chosen = "The primary was chosen on dev pairs of both shipped models and behaviors, from this table (python -m evals.q1.metrics):"
    table = f"<table border='1' cellpadding='4'><tr>{head}</tr>{body}</table>"
    path.write_text(f"<p>{note}</p>{table}<p>{chosen}</p>{metrics.html(metrics.recorded())}", encoding="utf-8")
    return path


def _transcripts(study: Study) -> Any:
    """Replies of the arms where the log-odds moved most."""
    path = study.lab.exhibits / f"q1-transcripts-{study.lab.behavior.name}.txt"
    moved = study.effects(RESTS_ON)[-1].mean(axis=0)
    blocks = []
    for i in np.argsort(-np.abs(moved))[:5] if study.transcripts else []:
        pair, replies = study.transcripts[i]
        turns = "\n".join(f"{m.role}: {m.content}" for m in pair.messages)
        said = "\n".join(f"  [{name}] {text}" for name, text in replies.items())
        blocks.append(f"{pair.id}: trained - sham {moved[i]:+.3f} {UNIT}\n{turns}\n{said}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n\n".join(blocks) or "no replies were judged", encoding="utf-8")
    return path
