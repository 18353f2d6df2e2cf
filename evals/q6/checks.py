"""Q6's measurements, one function a check."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from evals.q6 import exhibits
from evals.q6.cells import Cell, kept, rests_on
from evals.q6.change import ScoredPart, mean_gain, seed_spread
from evals.q6.design import GAIN_LEVEL, IDS, MIX, PARTS, SAMPLES, SHARES, TRANSFER, UNIT_OF_GAIN, UNIT_OF_MIX, UNITS, Part
from evals.q6.general_mix import restored
from evals.q6.study import Study
from evals.q6.transfer import gains_over_sham
from fixtures import corpora, tasks
from harness.analysis.estimated import Answer, Estimated
from harness.data.measurement import Estimate, Level, Measurement
from harness.experiment.lab import Lab


def perplexity(study: Study) -> Measurement:
    """The gate on prose: mean change of bits per byte."""
    return _gate(study, study.prose)


def code(study: Study) -> Measurement:
    """The gate on code: mean change of the share of samples that pass their tests."""
    rows = []
    if study.quality is not None:
        old, new = study.quality.before, study.quality.after
        rows.append({"cell": "code: static quality index", "before": old, "after": new, "estimate": new - old})
    return _gate(study, study.code, rows)


def reasoning(study: Study) -> Measurement:
    """The gate on questions: mean change of the share of samples that are right."""
    return _gate(study, study.reasoning)


def _gate(study: Study, scored: ScoredPart, more: Sequence[Mapping[str, Any]] = ()) -> Measurement:
    lab, part, since = study.lab, scored.part, scored.since
    before = f"cycle {since.cycle}" if since else "base"
    null: dict[str, Any] = {"kind": f"{before}, the same documents" if part == "prose" else f"{before}, the same tasks and seeds"}
    if part != "prose":
        left_out = {cell.name: cell.excluded for cell in scored.cells if cell.excluded}
        null |= {"samples a task": scored.samples, "left out": left_out}
    series = [*(_row(lab, cell) for cell in scored.cells), *scored.looks]
    by_training = np.concatenate([cell.changes for cell in kept(scored.cells)], axis=1).mean(axis=1) if kept(scored.cells) else ()
    if len(by_training) > 1:
        null["trainings"] = len(by_training)
        series += [{"cell": f"seed {s}: change", "estimate": _finite(c)} for s, c in zip(lab.seeds, by_training, strict=True)]
    if since:
        ids = [id for cell in kept(scored.cells) for id in cell.ids]
        series.append({"cell": f"{part}: {before}", "estimate": float(since.of(ids).mean())})
    shown = [exhibits.forest(lab, scored.cells, f"q6-forest-{part}")]
    if part != "prose":
        shown.append(exhibits.transcripts(study, scored))
    measured = lab.measurement(
        IDS[part],
        UNITS[part],
        _change(scored),
        series=[*series, *more],
        null=null,
        exhibits=shown,
        not_applicable=scored.at_floor,
        spread=seed_spread(lab, scored),
        rests_on=rests_on(lab, part),
        available=sum(len(cell.ids) for cell in kept(scored.cells)),
    )
    changes = {id: float(v) for cell in kept(scored.cells) for id, v in zip(cell.ids, cell.change, strict=True) if np.isfinite(v)}
    names = {id: cell.name for cell in kept(scored.cells) for id in cell.ids if id in changes}
    level = Level(float(np.mean(list(changes.values()))), f"{UNITS[part]}, above base") if changes else None
    return replace(measured, per_scenario=changes, clusters=names, level=level)


def _change(scored: ScoredPart) -> Estimated:
    """The change of a part, marked as limited by samples where a larger profile would draw more of them."""
    found = scored.change
    if found.value is None or scored.part == "prose" or scored.samples >= SAMPLES["full"]:
        return found
    return replace(found, value=replace(found.value, limited_by="samples"))


def _row(lab: Lab, cell: Cell) -> dict[str, Any]:
    """One cell among the series, in its own unit."""
    row: dict[str, Any] = {"cell": f"{cell.part}: {cell.name}", "n": len(cell.ids), "before": _finite(cell.before.mean())}
    if cell.after is None:
        return {**row, "left out": cell.excluded}
    gain = mean_gain(lab, cell)
    row |= {"after": _finite(cell.after.mean()), "estimate": _finite(cell.change.mean())}
    if gain is not None:
        low, high = (gain.low, gain.high) if cell.higher_is_better else (-gain.high, -gain.low)
        row |= {"low": low, "high": high}
    if cell.sham is not None:
        row["sham"] = _finite(cell.sham.mean())
    return row


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def positive_transfer(study: Study) -> Measurement:
    """Which domains and tiers gain over sham, all parts together."""
    lab = study.lab
    gains = gains_over_sham(study.cells)
    shown = [gain for gain in gains if gain.adjusted <= GAIN_LEVEL]
    series = [{"cell": gain.cell, "estimate": gain.mean, "p": gain.p, "p_adjusted": gain.adjusted} for gain in gains]
    series += [_row(lab, cell) for cell in study.outside]
    null = {"kind": "sham: neutral conversations, same number, steps, rate and lengths, LoRA of the suite's shape", "family": len(gains)}
    if shown:
        answer = Answer("gains in " + ", ".join(gain.cell for gain in shown))
    else:
        best = min(gains, key=lambda gain: gain.p, default=None)
        nearest = f"; nearest is {best.cell}, {best.mean:+.3g}, adjusted p {best.adjusted:.2g}" if best else ""
        answer = Answer(None, f"no gain over sham is shown in any of {len(gains)} domains and tiers (Holm){nearest}")
    every = exhibits.forest(lab, study.cells, "q6-forest")
    return lab.measurement(TRANSFER, UNIT_OF_GAIN, answer=answer, series=series, null=null, exhibits=(every,))


def general_mix(study: Study) -> Measurement:
    """The smallest share of general data in the training after which no gate is missed; it asks for all parts, and may train."""
    series = [
        {
            "cell": IDS[part],
            "share": mixed.share,
            "behavior kept": mixed.behavior_kept,
            **({} if change.value is None else {"estimate": change.value.value, "low": change.value.low, "high": change.value.high}),
        }
        for mixed in study.mixes
        for part, change in mixed.changes.items()
    ]
    return study.lab.measurement(MIX, UNIT_OF_MIX, answer=_mix_answer(study), series=series, null=_mix_null(study.lab))


def _mix_null(lab: Lab) -> dict[str, Any]:
    return {"kind": "base", "training": "the suite's own" if lab.candidate else "the trained arm's", "shares": list(SHARES)}


def _mix_answer(study: Study) -> Answer:
    """The share that was found, that none is needed, or why neither can be said."""
    states, mixes = study.states, study.mixes
    if mixes and restored(study.lab, mixes[-1]):
        last = mixes[-1]
        behavior_kept = "" if last.behavior_kept is None else f" ({last.behavior_kept:.0%} of the behavior's shift kept)"
        return Answer(f"{last.share:.0%}{behavior_kept}" if last.share else "none: the suite's own training does no harm")
    if mixes:
        failing = [IDS[part] for part in PARTS if states[part] in ("harmed", "open")]
        return Answer(None, f"up to {mixes[-1].share:.0%} none is shown to restore {', '.join(failing)}")
    undecided = [IDS[part] for part in PARTS if states[part] == "open" or (states[part] is None and not study.parts[part].at_floor)]
    if undecided:
        return Answer(None, f"no harm is shown, nor that there is none: {', '.join(undecided)} inconclusive")
    if all(each is None for each in states.values()):
        return Answer(None, "no gate applies")
    return Answer("not needed: no harm shown")


MEASURES: Mapping[str, Callable[[Study], Measurement]] = {
    IDS["prose"]: perplexity,
    IDS["code"]: code,
    IDS["reasoning"]: reasoning,
    TRANSFER: positive_transfer,
    MIX: general_mix,
}


def known(lab: Lab, id: str) -> Measurement | None:
    """What needs no study: a candidate that is base itself is no worse anywhere."""
    if not lab.identical:
        return None
    if id == TRANSFER:
        reason = "the candidate is base: there is nothing that could have transferred"
        return lab.measurement(id, UNIT_OF_GAIN, reason=reason, not_applicable=True)
    if id == MIX:
        return lab.measurement(id, UNIT_OF_MIX, answer=Answer("not needed: no harm shown"), null=_mix_null(lab))
    part = next(part for part in PARTS if IDS[part] == id)
    sizes: Mapping[Part, int] = {"prose": len(corpora.prose()), "code": len(tasks.code()), "reasoning": len(tasks.reasoning())}
    nothing = Estimate.exact(0.0, sizes[part], lab.alpha(id))
    return lab.measurement(id, UNITS[part], nothing, answer=Answer("no change: the candidate is base"), null={"kind": "base"})
