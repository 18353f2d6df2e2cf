"""Draw more scenarios until a check is decided, or all there are: the sequential rule of `--profile full`.

A check keeps what was measured at the look that decided it, so that a verdict depends on nothing but its own numbers. Each look may spend
only its share of the error rate (`harness/analysis/spending.py`). So the 95 % intervals of all looks hold together with probability 95 %,
and over all its looks a gate fails by chance with probability alpha at most. An estimate that stopped early leans away from the bound;
its interval does not.
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
    """The outcome that the gate will give it, apart from the preflight checks that it rests on."""
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
    """The row of a check's series for one look; `unit` names what `look.size` counts."""
    estimate = measurement.estimate
    row: dict[str, Any] = {"cell": f"look {look.number + 1} of {len(look.sizes)}", unit: look.size, "level": look.share(0.05)}
    if estimate is not None:
        row |= {"estimate": estimate.value, "low": estimate.low, "high": estimate.high}
    return {**row, "verdict": verdict}
