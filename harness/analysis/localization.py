"""How few heads carry a change: recovery curve and k50, the smallest share of heads that recovers half of what all of them recover.

`shifts` [sizes, n] is what patching the top k heads does to each scenario's log-odds, `full` [n] what patching all does; recovery is the
ratio of their means. k50 is read from the curve through (0, 0), linear between the sizes tried, at its first crossing of one half; its
interval from resampling clusters of scenarios, stretched by t(G − 1) / z · √(G / (G − 1)) for few clusters, the ranking held fixed (it was
made on other scenarios). It cannot tell a head that
computes the change from one that passes on what heads before it computed: patched outputs hold both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from harness.analysis.intervals import mean_interval
from harness.analysis.sample import DegenerateSample, check_alpha, cluster, finite
from harness.data.arrays import Floats
from harness.data.measurement import Estimate

LOCALIZED, DIFFUSE = 0.05, 0.30
Extent = Literal["localized", "intermediate", "diffuse"]


@dataclass(frozen=True)
class Localization:
    k50: Estimate
    """Share of all heads, 0 to 1."""
    recovery: Floats
    """Share of the full recovery at every size, [sizes]."""
    band: Floats
    """95 % interval of the recovery, [2, sizes]."""
    extent: Extent | None
    """None where the interval of k50 spans a border."""


def recovery_curve(shifts: Floats, full: Floats) -> Floats:
    """[sizes]."""
    return np.asarray(shifts.mean(axis=1) / full.mean())


def crossing(shares: Floats, recovery: Floats) -> float:
    """The share at which the curve first reaches one half; 1 where it never does before."""
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
    """DegenerateSample where all heads together are not shown to move the behavior: then there is nothing to recover."""
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
    weights = rng.multinomial(groups.count, np.full(groups.count, 1 / groups.count), size=resamples).astype(np.float64)
    below = weights @ groups.sums(whole)
    kept = below * np.sign(whole.mean()) > 0.1 * abs(whole.sum())  # a resample in which nothing moves has no recovery
    curves = (weights[kept] @ groups.sums(moved).T) / below[kept, None]  # [draws, sizes]
    crossings = np.array([crossing(sizes, curve) for curve in curves])
    value = crossing(sizes, recovery_curve(moved, whole))

    def ends(level: float) -> tuple[float, float]:
        low, high = np.quantile(crossings, [level / 2, 1 - level / 2])
        few = float(stats.t.isf(level / 2, groups.count - 1) / stats.norm.isf(level / 2)) * math.sqrt(groups.count / (groups.count - 1))
        return max(value - few * max(value - float(low), 0.0), 0.0), min(value + few * max(float(high) - value, 0.0), 1.0)

    k50 = Estimate(value, *ends(0.05), *ends(alpha), alpha, n=len(whole), clusters=groups.count)
    return Localization(k50, recovery_curve(moved, whole), np.quantile(curves, [0.025, 0.975], axis=0), _extent(k50))


def _extent(k50: Estimate) -> Extent | None:
    if k50.high <= LOCALIZED:
        return "localized"
    if k50.low > DIFFUSE:
        return "diffuse"
    return "intermediate" if k50.low > LOCALIZED and k50.high <= DIFFUSE else None
