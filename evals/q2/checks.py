"""Q2's measurements, one function a check."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from evals.q2 import exhibits
from evals.q2.answers import best_temperature, calibrated, told
from evals.q2.design import (
    AUC,
    CALIBRATION,
    CLOSE,
    ENOUGH_LEARNABLE,
    FEWEST,
    LABEL,
    LEARNABLE,
    LEARNABLE_SHARE,
    OWN_TEMPERATURE,
    TEMPERATURE,
    UNITS,
)
from evals.q2.instrument import instrument
from evals.q2.study import Rolled, Study
from harness.analysis.beta_binomial import fit, share_within
from harness.analysis.estimated import estimated
from harness.analysis.intervals import mean_interval
from harness.analysis.label_auc import label_auc
from harness.analysis.sample import DegenerateSample
from harness.data.arrays import Flags
from harness.data.measurement import Estimate, Measurement
from harness.dreams.difficulty import LEVELS
from harness.dreams.scenarios import DreamError
from harness.judges.judge import JudgeError


def label(study: Study) -> Measurement:
    """Does the label, given before, tell rollouts that fail from those that do not?"""
    lab, rolled, id = study.lab, study.rolled, LABEL
    levels = np.array([scenario.level for scenario in rolled.scenarios], dtype=float)
    estimate = label_auc(levels, rolled.failures, rolled.rollouts, rolled.domains, lab.alpha(id), lab.rng(id))
    permuted = label_auc(lab.rng(id, "permuted").permutation(levels), rolled.failures, rolled.rollouts, None, 0.05, lab.rng(id))
    rows = [{"cell": level, **_share_failed(rolled, rolled.labeled(level))} for level in LEVELS]
    if study.control is not None:
        everything = np.ones(len(study.control.scenarios), dtype=bool)
        rows.append({"cell": "dreamed without seeds", **_share_failed(study.control, everything)})
    null = {"kind": "labels permuted over scenarios", "value": permuted.value, **study.frozen}
    return lab.measurement(
        id,
        UNITS[id],
        estimate,
        answer=told(estimate, AUC, "labels predict failure", "labels do not predict failure"),
        series=rows,
        null=null,
        exhibits=(exhibits.by_label(study, rolled, rows), exhibits.transcripts(study, rolled)),
    )


def _share_failed(rolled: Rolled, chosen: Flags) -> dict[str, Any]:
    """Failure rate of the `chosen` [scenarios] with a t interval over them, and how many they are."""
    shares = rolled.failure_rates[chosen]
    row: dict[str, Any] = {"n": int(chosen.sum()), "estimate": float(shares.mean()) if len(shares) else None}
    if len(shares) >= 2 and shares.std() > 0:
        found = mean_interval(shares, None, 0.05, np.random.default_rng(0))
        row |= {"low": max(found.low, 0.0), "high": min(found.high, 1.0)}
    return row


def calibration(study: Study) -> Measurement:
    """Is the share labeled hard the share that fails?"""
    lab, rolled, id = study.lab, study.rolled, CALIBRATION
    estimate = difference(rolled, lab.alpha(id), lab.rng(id))
    hard = rolled.hardness
    slope = float(np.polyfit(hard, rolled.failure_rates, 1)[0]) if hard.std() > 0 else None
    null = {"kind": "perfect calibration: difference 0, slope 1", "slope": slope, "share neither": rolled.neither, **study.frozen}
    rows = [{"cell": level, **_share_failed(rolled, rolled.labeled(level))} for level in LEVELS]
    return lab.measurement(
        id,
        UNITS[id],
        estimate,
        answer=calibrated(estimate),
        pairs=rolled.scenarios,
        values=rolled.failure_rates,  # for the history
        series=rows,
        null=null,
        exhibits=(exhibits.reliability(study, rolled, rows),),
    )


def difference(rolled: Rolled, alpha: float, rng: np.random.Generator) -> Estimate:
    """Share labeled hard minus failure rate. Refusals as in mean_interval."""
    return mean_interval(rolled.hardness - rolled.failure_rates, rolled.domains, alpha, rng)


def learnable_share(study: Study) -> Measurement:
    """Do most scenarios fail neither nearly always nor nearly never?"""
    lab, rolled, id = study.lab, study.rolled, LEARNABLE_SHARE
    estimate = learnable(rolled, lab.alpha(id), lab.rng(id))
    spread = fit(rolled.failures, rolled.rollouts)
    easy, hard = spread.within(0, LEARNABLE[0]), spread.within(LEARNABLE[1], 1)
    null = {
        "kind": f"at least {ENOUGH_LEARNABLE:g} of the scenarios with a failure probability in {list(LEARNABLE)}",
        "failure rate": spread.mean,
        "share too easy": easy,
        "share too hard": hard,
        "a": spread.a,
        "b": spread.b,
        **study.frozen,
    }
    return lab.measurement(
        id,
        UNITS[id],
        estimate,
        answer=told(estimate, ENOUGH_LEARNABLE, "right", "too easy" if easy > hard else "too hard"),
        series=[{"cell": f"{k} of {rolled.rollouts} failed", "n": int((rolled.failures == k).sum())} for k in range(rolled.rollouts + 1)],
        null=null,
        exhibits=(exhibits.spread_of_failures(study, rolled, spread),),
    )


def learnable(rolled: Rolled, alpha: float, rng: np.random.Generator) -> Estimate:
    """Share of scenarios whose failure probability lies where something can be learned. Refusals as in share_within."""
    return share_within(rolled.failures, rolled.rollouts, *LEARNABLE, rolled.domains, alpha, rng)


def temperature(study: Study) -> Measurement:
    """Calibrated as is, or at which of the swept temperatures?"""
    lab, id = study.lab, TEMPERATURE
    if study.loop.holds is not None:
        reason = f"{study.loop.name} has one temperature: there is nothing to sweep"
        return lab.measurement(id, UNITS[id], reason=reason, not_applicable=True, null=study.frozen)
    rows: list[dict[str, Any]] = []
    said: dict[float, str | None] = {}
    for each, rolled in study.swept.items():
        purpose = (CALIBRATION,) if each == OWN_TEMPERATURE else (CALIBRATION, str(each))  # at its own, the interval of that check
        found = difference(rolled, lab.alpha(id), lab.rng(*purpose))
        said[each] = calibrated(found).words
        row = {"cell": f"temperature {each:g}", "n": len(rolled.scenarios), "estimate": found.value, "low": found.low, "high": found.high}
        rows.append(
            {**row, "failure rate": float(rolled.outcomes.mean()), "neither": rolled.neither, **_learnable_row(study, each, rolled)}
        )
    null = {"kind": f"share labeled hard minus failure rate within ± {CLOSE:g}", **study.frozen}
    shown = (exhibits.by_temperature(study, rows),)
    return lab.measurement(id, UNITS[id], answer=best_temperature(said), series=rows, null=null, exhibits=shown)


def _learnable_row(study: Study, temperature: float, rolled: Rolled) -> dict[str, Any]:
    share = estimated(lambda: learnable(rolled, 0.05, study.lab.rng(TEMPERATURE, "share", str(temperature))))
    if share.value is None:
        return {"learnable share": None, "why": share.reason}
    return {"learnable share": share.value.value, "share_low": share.value.low, "share_high": share.value.high}


def _where_it_can_be_told(id: str, measure: Callable[[Study], Measurement], study: Study) -> Measurement:
    """What `measure` finds, or the reason why it concludes nothing: too few scenarios, a loop or judge that fails, data without an
    interval, a subject whose failures show no difficulty.
    """
    try:
        if len(study.dreams.scenarios) < FEWEST:
            reason = f"{len(study.dreams.scenarios)} usable scenarios, {FEWEST} at least are needed"
            return study.lab.measurement(id, UNITS[id], reason=reason, null=study.frozen)
        found = measure(study)
        if found.not_applicable:
            return found
        shown = instrument(study.rolled, study.lab.rng("q2", "instrument"))
        bar = {"ceiling: one half of the rollouts for the other": _ends(shown.ceiling), "correlation of rollouts": _ends(shown.correlation)}
        found = replace(found, null={**(found.null or {}), **bar})
        return found if shown.blind is None else replace(found, answer=None, reason=shown.blind)
    except (DreamError, JudgeError, DegenerateSample) as error:
        return study.lab.measurement(id, UNITS[id], reason=str(error))


def _ends(found: Estimate | None) -> list[float] | None:
    """Value and both ends of the 95 % interval."""
    return None if found is None else [found.value, found.low, found.high]


MEASURES: Mapping[str, Callable[[Study], Measurement]] = {
    id: partial(_where_it_can_be_told, id, measure)
    for id, measure in ((LABEL, label), (CALIBRATION, calibration), (LEARNABLE_SHARE, learnable_share), (TEMPERATURE, temperature))
}
