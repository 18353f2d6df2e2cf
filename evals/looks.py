"""Draw more scenarios until every check is decided, or all there are: the sequential rule of `--profile full`.

Each check keeps what was measured at the look that decided it, so that a verdict depends on nothing but its own numbers. At a look an
interval has only that look's share of the error rate (`harness/analysis/spending.py`): what is called the 95 % interval holds at all
looks together with 95 %, and a gate fails by chance, at any look, at most at its alpha. An estimate that stopped early leans away from
the bound; its interval does not.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from harness.data.measurement import Measurement
from harness.gate.verdicts import judge
from harness.lab import Lab, Look


def verdict_of(lab: Lab, measurement: Measurement) -> str:
    """What the gate will say of it, as far as it rests on no other check."""
    return judge(measurement, lab.thresholds.for_check(measurement.id, lab.base.name, lab.behavior.name)).outcome


def until_decided(lab: Lab, grows: Collection[str], measure: Callable[[Lab], Mapping[str, Measurement]]) -> dict[str, Measurement]:
    """Measurements by id; `grows` names those to which more scenarios add something, the others are taken from the first look.

    Where the profile knows no looks, everything is measured once.
    """
    looks = lab.looks()
    if not looks:
        return dict(measure(lab))
    found: dict[str, Measurement] = {}
    rows: dict[str, list[dict[str, Any]]] = {id: [] for id in grows}
    for look in looks:
        if not look.is_first:
            lab.progress(
                f"{', '.join(undecided(lab, found, grows))}: not decided by {looks[look.number - 1].size} scenarios; now {look.size}"
            )
        for id, measurement in measure(lab.at(look)).items():
            if id in found and (id not in grows or verdict_of(lab, found[id]) != "inconclusive"):
                continue
            if id in grows:
                rows[id].append(row_of(look, measurement, verdict_of(lab, measurement), "scenarios"))
            found[id] = replace(measurement, series=(*measurement.series, *rows.get(id, ())))
        if not undecided(lab, found, grows):
            break
    return found


def undecided(lab: Lab, found: Mapping[str, Measurement], grows: Collection[str]) -> list[str]:
    return [id for id, measurement in found.items() if id in grows and verdict_of(lab, measurement) == "inconclusive"]


def row_of(look: Look, measurement: Measurement, verdict: str, unit: str) -> dict[str, Any]:
    """One look, as it stands among the series of a check."""
    estimate = measurement.estimate
    row: dict[str, Any] = {"cell": f"look {look.number + 1} of {len(look.sizes)}", unit: look.size, "level": look.share(0.05)}
    if estimate is not None:
        row |= {"estimate": estimate.value, "low": estimate.low, "high": estimate.high}
    return {**row, "verdict": verdict}
