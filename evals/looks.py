"""Draw more scenarios until a check is decided, or all there are: the sequential rule of `--profile full`.

A check keeps what was measured at the look that decided it, so that a verdict depends on nothing but its own numbers. At a look an
interval has only that look's share of the error rate (`harness/analysis/spending.py`): what is called the 95 % interval holds at all
looks together with 95 %, and a gate fails by chance, at any look, at most at its alpha. An estimate that stopped early leans away from
the bound; its interval does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from harness.data.measurement import Measurement
from harness.experiment.lab import Lab
from harness.experiment.profile import Look
from harness.gate.verdict.verdicts import verdict_on


def verdict_of(lab: Lab, measurement: Measurement) -> str:
    """What the gate will say of it, as far as it rests on no other check."""
    return verdict_on(measurement, lab.threshold(measurement.id)).outcome


def until_decided(lab: Lab, measure: Callable[[Lab], Measurement]) -> Measurement:
    """The measurement at the look that decides it, with a row for every look among its series; `lab` must have looks."""
    looks, rows = lab.looks(), list[dict[str, Any]]()
    for look in looks:
        measurement = measure(lab.at(look))
        verdict = verdict_of(lab, measurement)
        rows.append(row_of(look, measurement, verdict, "scenarios"))
        if verdict != "inconclusive":
            break
        if look is not looks[-1]:
            lab.progress(f"{measurement.id}: not decided by {look.size} scenarios; now {looks[look.number + 1].size}")
    return replace(measurement, series=(*measurement.series, *rows))


def row_of(look: Look, measurement: Measurement, verdict: str, unit: str) -> dict[str, Any]:
    """One look, as it stands among the series of a check."""
    estimate = measurement.estimate
    row: dict[str, Any] = {"cell": f"look {look.number + 1} of {len(look.sizes)}", unit: look.size, "level": look.share(0.05)}
    if estimate is not None:
        row |= {"estimate": estimate.value, "low": estimate.low, "high": estimate.high}
    return {**row, "verdict": verdict}
