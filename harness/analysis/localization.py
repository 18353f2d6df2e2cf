"""How few heads carry a change: the recovery curve and k50, the smallest share of heads that recovers half of what all heads recover.

Patching the top k heads shifts each scenario's log-odds (`shifts` [sizes, n]), and so does patching all heads (`full` [n]); recovery is the
ratio of the two means. k50 is where the curve through (0, 0), linear between the sizes that were tried, first reaches one half. Its
interval resamples clusters of scenarios, stretched by t(G − 1) / z · √(G / (G − 1)) for few clusters G; the ranking of heads stays fixed,
because it was made on other scenarios. It cannot tell a head that computes the change from one that passes on what earlier heads computed:
patched outputs contain both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from harness.analysis.intervals import mean_interval
from harness.analysis.resampling import few_clusters, times_drawn
from harness.analysis.sample import DegenerateSample, check_alpha, cluster, finite
from harness.data.arrays import Floats
from harness.data.measurement import Estimate

LOCALIZED, DIFFUSE = 0.05, 0.30
"""Shares of heads: with a k50 of at most the first a change is localized, above the second it is diffuse."""
Extent = Literal["localized", "intermediate", "diffuse"]


@dataclass(frozen=True)
class Localization:
    """How many heads carry a change."""

    k50: Estimate
    """Share of all heads that recovers half of the full shift, 0 to 1; 1 where no size that was tried does."""
    recovery: Floats
    """Recovery at every size, [sizes]; 1 is the shift of all heads."""
    band: Floats
    """95 % interval of the recovery: lower and upper ends, [2, sizes]."""
    extent: Extent | None
    """None where the interval of k50 lies on both sides of a border."""


def recovery_curve(shifts: Floats, full: Floats) -> Floats:
    """Mean of `shifts` [sizes, n] over mean of `full` [n], [sizes]."""
    return np.asarray(shifts.mean(axis=1) / full.mean())


def crossing(shares: Floats, recovery: Floats) -> float:
    """The share of heads at which the curve first reaches one half; 1 where it never does. `shares` and `recovery` are [sizes]."""
    xs, ys = np.concatenate([[0.0], shares]), np.concatenate([[0.0], recovery])
    over = np.flatnonzero(ys >= 0.5)
    if over.size == 0:
        return 1.0
    at = int(over[0])
    return float(xs[at - 1] + (0.5 - ys[at - 1]) / (ys[at] - ys[at - 1]) * (xs[at] - xs[at - 1]))


def localize(
    shares: ArrayLike,
    shifts: ArrayLike,
    full: ArrayLike,
    clusters: ArrayLike,
    alpha: float,
    rng: np.random.Generator,
    resamples: int = 2000,
) -> Localization:
    """Localization from `shifts` [sizes, n] of the top heads, whose shares of all heads are `shares` [sizes], and `full` [n] of all heads.

    DegenerateSample where all heads together are not shown to shift the log-odds: then there is nothing to recover. ValueError where
    `shares` do not rise from above 0 to at most 1.
    """
    sizes, moved, whole = finite(shares, "shares", 1), finite(shifts, "shifts", 2), finite(full, "full", 1)
    alpha = check_alpha(alpha)
    if (np.diff(sizes) <= 0).any() or sizes[0] <= 0 or sizes[-1] > 1:
        raise ValueError(f"shares: {sizes.tolist()}, must rise from above 0 to at most 1")
    together = mean_interval(whole, clusters, 0.05, rng)
    if together.low <= 0 <= together.high:
        raise DegenerateSample(
            f"all heads together are not shown to move the behavior ({together.value:.3g} [{together.low:.3g}, {together.high:.3g}])"
        )
    groups = cluster(clusters, len(whole))
    weights = times_drawn(groups.count, rng, resamples)
    below = weights @ groups.sums(whole)
    kept = below * np.sign(whole.mean()) > 0.1 * abs(whole.sum())  # a resample in which nothing moves has no recovery
    curves = (weights[kept] @ groups.sums(moved).T) / below[kept, None]  # [draws, sizes]
    crossings = np.array([crossing(sizes, curve) for curve in curves])
    value = crossing(sizes, recovery_curve(moved, whole))

    def ends(level: float) -> tuple[float, float]:
        low, high = np.quantile(crossings, [level / 2, 1 - level / 2])
        few = few_clusters(groups.count, level)
        return max(value - few * max(value - float(low), 0.0), 0.0), min(value + few * max(float(high) - value, 0.0), 1.0)

    k50 = Estimate(value, *ends(0.05), *ends(alpha), alpha, n=len(whole), clusters=groups.count)
    return Localization(k50, recovery_curve(moved, whole), np.quantile(curves, [0.025, 0.975], axis=0), _extent(k50))


def _extent(k50: Estimate) -> Extent | None:
    if k50.high <= LOCALIZED:
        return "localized"
    if k50.low > DIFFUSE:
        return "diffuse"
    return "intermediate" if k50.low > LOCALIZED and k50.high <= DIFFUSE else None
