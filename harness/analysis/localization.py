"""How few heads carry a change: the recovery curve and k50, the smallest share of heads that recovers half of what all heads recover.

Patching the top k heads shifts each scenario's log-odds (`shifts` [sizes, trainings, n]), and so does patching all heads (`full`
[trainings, n]); recovery is the ratio of the two means. k50 is where the curve through (0, 0), linear between the sizes that were tried,
first reaches one half. Its interval inverts tests of shift − ½ full, as Fieller's does: shares of heads are tested in rising order as long
as less than half is shown, and in falling order as long as more than half is; a fixed order needs no correction (Westfall and Krishen
2001). What is between is the interval. The ranking of heads stays fixed, because it was made on other scenarios. It cannot tell a head that
computes the change from one that passes on what earlier heads computed: patched outputs contain both.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, takewhile
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from harness.analysis.sample import DegenerateSample, check_alpha, finite
from harness.analysis.trainings import trainings_intervals
from harness.data.arrays import Flags, Floats
from harness.data.measurement import Estimate

LOCALIZED, DIFFUSE = 0.05, 0.30
"""Shares of heads: with a k50 of at most the first a change is localized, above the second it is diffuse."""
STEPS = 8
"""Shares tested between two sizes that were tried."""
Extent = Literal["localized", "intermediate", "diffuse"]


@dataclass(frozen=True)
class Localization:
    """How many heads carry a change."""

    k50: Estimate
    """Share of all heads that recovers half of the full shift, 0 to 1; 1 where no size that was tried does."""
    recovery: Floats
    """Recovery at every size, [sizes]; 1 is the shift of all heads."""
    extent: Extent | None
    """None where the interval of k50 lies on both sides of a border."""


def crossing(shares: Floats, recovery: Floats) -> float:
    """The share of heads at which the curve first reaches one half; 1 where it never does. `shares` and `recovery` are [sizes]."""
    xs, ys = np.concatenate([[0.0], shares]), np.concatenate([[0.0], recovery])
    over = np.flatnonzero(ys >= 0.5)
    if over.size == 0:
        return 1.0
    at = int(over[0])
    return float(xs[at - 1] + (0.5 - ys[at - 1]) / (ys[at] - ys[at - 1]) * (xs[at] - xs[at - 1]))


def moves(full: ArrayLike, clusters: ArrayLike, rng: np.random.Generator) -> Estimate:
    """What all heads bring together, from `full` [trainings, n]. DegenerateSample where it is not shown to differ from 0.

    Then there is nothing to recover, and a share of it means nothing.
    """
    (together,) = trainings_intervals(finite(full, "full", 2)[np.newaxis], clusters, 0.05, rng)
    if together.low <= 0 <= together.high:
        raise DegenerateSample(
            f"all heads together are not shown to move the behavior ({together.value:.3g} [{together.low:.3g}, {together.high:.3g}])"
        )
    return together


def localize(
    shares: ArrayLike, shifts: ArrayLike, full: ArrayLike, clusters: ArrayLike, alpha: float, rng: np.random.Generator
) -> Localization:
    """Localization from `shifts` [sizes, trainings, n] of the top heads, whose shares of all heads are `shares` [sizes], and `full`
    [trainings, n] of all heads.

    DegenerateSample as in `moves`. ValueError where `shares` do not rise from above 0 to at most 1.
    """
    sizes, moved, whole = finite(shares, "shares", 1), finite(shifts, "shifts", 3), finite(full, "full", 2)
    alpha = check_alpha(alpha)
    if (np.diff(sizes) <= 0).any() or sizes[0] <= 0 or sizes[-1] > 1:
        raise ValueError(f"shares: {sizes.tolist()}, must rise from above 0 to at most 1")
    together = moves(whole, clusters, rng)
    recovery = moved.mean(axis=(1, 2)) / together.value
    value = crossing(sizes, recovery)
    ends, curve = np.concatenate([[0.0], sizes]), np.concatenate([np.zeros((1, *whole.shape)), moved])
    grid = np.concatenate([np.linspace(start, end, STEPS + 1)[1:] for start, end in pairwise(ends)])
    at = np.searchsorted(ends, grid).clip(1)
    part = ((grid - ends[at - 1]) / (ends[at] - ends[at - 1]))[:, np.newaxis, np.newaxis]
    above_half = np.sign(together.value) * (curve[at - 1] + part * (curve[at] - curve[at - 1]) - whole / 2)
    tested = trainings_intervals(above_half, clusters, alpha, rng)

    def interval(below: Flags, above: Flags) -> tuple[float, float]:
        """`below` and `above` [grid]: what recovers less than half, and more."""
        low = max((float(share) for share, _ in takewhile(lambda pair: pair[1], zip(grid, below, strict=True))), default=0.0)
        falling = zip(grid[::-1], above[::-1], strict=True)
        high = min((float(share) for share, _ in takewhile(lambda pair: pair[1], falling)), default=1.0)
        return min(low, value), max(high, value)

    lows, highs, lows_alpha, highs_alpha = np.array([[e.low, e.high, e.low_alpha, e.high_alpha] for e in tested]).T
    narrow, wide = interval(highs < 0, lows > 0), interval(highs_alpha < 0, lows_alpha > 0)
    k50 = Estimate(value, *narrow, *wide, alpha, n=together.n, clusters=together.clusters)
    return Localization(k50, recovery, _extent(k50))


def _extent(k50: Estimate) -> Extent | None:
    if k50.high <= LOCALIZED:
        return "localized"
    if k50.low > DIFFUSE:
        return "diffuse"
    return "intermediate" if k50.low > LOCALIZED and k50.high <= DIFFUSE else None
