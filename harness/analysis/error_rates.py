"""The rate of an event over runs that share adapters: an exact interval that counts adapters, not runs.

A run compares two adapters, and every adapter takes part in many runs. The variance V of the rate sums the products of deviations over all
pairs of runs that have an adapter in common (dyadic clustering: Aronow, Samii and Assenova, Political Analysis 23, 2015). Clopper and
Pearson's interval is taken with the effective number of runs p(1 − p) / V, never above the real one, and t quantiles for few adapters
(Korn and Graubard, Survey Methodology 24, 1998). Where the event never happened, or always did, how it clusters cannot be seen: then every
adapter counts as a single trial, which gives the widest interval there could be. The interval for independent runs is given beside it.
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
    """A share of runs with two 95 % intervals."""

    events: int
    """Runs in which the event happened."""
    runs: int
    adapters: int
    """Different adapters in these runs."""
    low: float
    """Lower end of the interval that is clustered by adapter."""
    high: float
    """Upper end of the same interval."""
    low_independent: float
    """Lower end of the interval for independent runs, the narrowest that there could be; here it is too narrow."""
    high_independent: float
    """Upper end of the same interval."""

    @property
    def value(self) -> float:
        """Share of runs in which the event happened, 0 to 1."""
        return self.events / self.runs


def clustered_rate(events: ArrayLike, members: Sequence[Sequence[Hashable]], level: float = 0.05) -> Rate:
    """Rate of `events` [runs], true or false, with intervals at `level`; `members[i]` names the adapters of run i, one or two in any order.

    ValueError where an event is neither true nor false, or `members` has another length.
    """
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
