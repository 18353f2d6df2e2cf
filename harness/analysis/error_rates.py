"""The rate of an event over runs that share adapters: an exact interval that counts adapters, not runs.

A run pairs two adapters, and every adapter takes part in many runs. The variance of the mean adds up the products of the deviations of all
pairs of runs with an adapter in common (dyadic clustering: Aronow, Samii and Assenova, Political Analysis 23, 2015); it gives an effective
number of runs p(1 − p) / V, never above the real one, for Clopper and Pearson's interval with t quantiles for few adapters (Korn and
Graubard, Survey Methodology 24, 1998). Where the event never happened (or always did), how it clusters cannot be seen: the interval then
counts every adapter as a single trial, the widest it could be; what it would be if the runs were independent stands beside.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from harness.analysis.proportions import clopper_pearson
from harness.analysis.sample import finite


@dataclass(frozen=True)
class Rate:
    """A share of runs with its 95 % intervals."""

    events: int
    runs: int
    adapters: int
    low: float
    """Clustered by adapter."""
    high: float
    low_independent: float
    """As if every run were independent: too narrow, and the narrowest it could be."""
    high_independent: float

    @property
    def value(self) -> float:
        return self.events / self.runs


def clustered_rate(events: ArrayLike, members: Sequence[Sequence[Hashable]], level: float = 0.05) -> Rate:
    """Rate of `events` [runs], true or false; `members[i]` names the adapters in run i (one or two, in any order)."""
    flags = finite(events, "events", 1, at_least=1)
    if not np.isin(flags, (0, 1)).all():
        raise ValueError("events: must be true or false (0 or 1)")
    if len(members) != len(flags):
        raise ValueError(f"members: {len(members)} runs, must be {len(flags)} as events")
    names = {name: i for i, name in enumerate(dict.fromkeys(name for each in members for name in each))}
    n, count, happened = len(flags), len(names), int(flags.sum())
    independent = clopper_pearson(happened, n, level)
    if happened in (0, n):
        trials = min(count, n)
        low, high = clopper_pearson(trials if happened else 0, trials, level)
        return Rate(happened, n, count, low, high, *independent)
    share = happened / n
    takes_part = np.zeros((n, count))
    for row, each in enumerate(members):
        takes_part[row, [names[name] for name in each]] = 1
    deviations = flags - share
    shared = takes_part @ takes_part.T > 0
    variance = float(deviations @ shared @ deviations) / n**2 * count / max(count - 1, 1)
    effective = share * (1 - share) / variance if variance > 0 else float(count)
    few = float(stats.t.isf(level / 2, n - 1) / stats.t.isf(level / 2, count - 1)) ** 2 if count > 1 else 0.0
    size = min(max(effective * few, 1.0), n)
    return Rate(happened, n, count, *clopper_pearson(share * size, size, level), *independent)
