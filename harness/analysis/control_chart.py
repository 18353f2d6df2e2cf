"""A Bernoulli CUSUM over training cycles: a small lasting rise of a failure rate adds up until it crosses a limit.

S_t = max(0, S_{t−1} + Σ over the probes of cycle t of log p1^x (1−p1)^(1−x) / p0^x (1−p0)^(1−x)), an alarm where S_t ≥ h. Page,
Biometrika 41 (1954); for proportions Reynolds and Stoumbos, Journal of Quality Technology 31 (1999), here with the sum updated once a
cycle. Null: the failure rate stays at p0. h is the smallest limit on a grid whose simulated mean number of cycles to a false alarm at p0
is at least the wanted one. An alarm says that the rate rose, not when, nor by how much.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import stats

from harness.data.arrays import Floats

RISE = 0.2
"""p1 − p0: the rise of the failure rate that the chart is tuned to detect."""
IN_CONTROL = 2000
"""Mean number of cycles to a false alarm, at least. With 1,000, 3 % of clean histories of 30 cycles alarmed, which was the most allowed."""
RUNS = 400
"""Simulated histories from which the limit is found."""
GRID = 0.25
"""Distance between the limits that are tried, in nats."""
FLOOR, CEILING = 0.01, 0.75
"""p0 is kept between these: where no probe ever failed, one still can; and p1 must stay below 1."""


@dataclass(frozen=True)
class Chart:
    """A chart tuned to a baseline. A value at or above `limit` is an alarm."""

    p0: float
    """Failure rate in control."""
    p1: float
    """Failure rate that the chart is tuned to detect."""
    limit: float
    """h, in nats."""

    def update(self, value: float, flagged: int, probes: int) -> float:
        """S after a cycle in which `flagged` of `probes` failed; `value` is S before it. ValueError where flagged is not 0 to probes."""
        if not 0 <= flagged <= probes:
            raise ValueError(f"flagged: is {flagged}, must be 0 to probes = {probes}")
        up, down = math.log(self.p1 / self.p0), math.log((1 - self.p1) / (1 - self.p0))
        return max(0.0, value + flagged * up + (probes - flagged) * down)

    def path(self, flagged: Sequence[int], probes: int) -> list[float]:
        """S after each cycle, [cycles], starting from S = 0; `flagged` [cycles] of `probes` failed in each."""
        values, value = [], 0.0
        for count in flagged:
            value = self.update(value, count, probes)
            values.append(value)
        return values


def upper_rate(flagged: int, probes: int, level: float = 0.8) -> float:
    """One-sided upper limit of a failure rate at the confidence `level` (Clopper–Pearson).

    Rounded up to a hundredth and kept between FLOOR and CEILING. ValueError where `flagged` is not 0 to `probes`, or there are no probes.
    """
    if probes < 1 or not 0 <= flagged <= probes:
        raise ValueError(f"flagged: is {flagged} of {probes}, must be 0 to probes, of at least 1")
    upper = 1.0 if flagged == probes else float(stats.beta.ppf(level, flagged + 1, probes - flagged))
    return min(max(math.ceil(upper * 100) / 100, FLOOR), CEILING)


def tuned(flagged: int, probes: int, per_cycle: int, rise: float = RISE, in_control: int = IN_CONTROL) -> Chart:
    """The chart of a baseline in which `flagged` of `probes` failed, for cycles of `per_cycle` probes each.

    p0 is the upper limit of the baseline's rate, so that a lucky baseline does not make the chart alarm.
    """
    p0 = upper_rate(flagged, probes)
    p1 = p0 + rise
    return Chart(p0, p1, _limit(round(p0, 6), round(p1, 6), per_cycle, in_control))


@cache
def _limit(p0: float, p1: float, per_cycle: int, in_control: int) -> float:
    rng = np.random.default_rng([per_cycle, round(p0 * 1e6)])
    up, down = math.log(p1 / p0), math.log((1 - p1) / (1 - p0))
    lasting = 5 * in_control  # a history without an alarm by then counts as this long: the mean comes out too small, the limit too high
    steps = rng.binomial(per_cycle, p0, size=(RUNS, lasting)) * (up - down) + per_cycle * down
    path = _reflected(np.asarray(steps, dtype=np.float64))
    highest = np.maximum.accumulate(path, axis=1)
    limit = GRID
    while True:
        lengths = (highest < limit).sum(axis=1) + 1
        if lengths.mean() >= in_control:
            return limit
        limit += GRID


def _reflected(steps: Floats) -> Floats:
    """max(0, S + step) along the last axis, [runs, cycles]: the sum of the steps minus its running minimum, or minus 0 before that."""
    walk = steps.cumsum(axis=1)
    return np.asarray(walk - np.minimum(np.minimum.accumulate(walk, axis=1), 0))
