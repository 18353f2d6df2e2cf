"""Ratio of two standardized mean shifts (mean over standard deviation), from independent samples.

Whole clusters of scenarios are resampled in each sample. The percentile interval of the ratio is stretched around its value by
t(G − 1) / z · √(G / (G − 1)), with G the smaller number of clusters: percentiles of few clusters are too narrow (Hesterberg, The American
Statistician 69, 2015). Where the denominator's own interval, stretched alike, reaches 0 the ratio has no bound, and is refused. The ratio
says how steerable one behavior is relative to another, each in units of its own scatter; it says nothing about the size of either.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from harness.analysis.resampling import few_clusters, times_drawn
from harness.analysis.sample import Clusters, DegenerateSample, check_alpha, cluster, finite
from harness.data.arrays import Floats
from harness.data.measurement import Estimate


def standardized_shift(values: ArrayLike, name: str = "values") -> float:
    """Mean over standard deviation (n − 1 in its denominator) of `values` [n]; has no unit. DegenerateSample where they do not vary."""
    array = finite(values, name, 1)
    deviation = float(array.std(ddof=1))
    if deviation <= 1e-12 * float(np.abs(array).max()):
        raise DegenerateSample(f"no variance: all {len(array)} scenarios of the {name} moved by {array[0]:g}")
    return float(array.mean()) / deviation


def standardized_ratio(
    numerator: ArrayLike,
    denominator: ArrayLike,
    numerator_clusters: ArrayLike | None,
    denominator_clusters: ArrayLike | None,
    alpha: float,
    rng: np.random.Generator,
    resamples: int = 2000,
    level: float = 0.05,
) -> Estimate:
    """Standardized shift of `numerator` [n] over that of `denominator` [m], with intervals at `level` and `alpha`.

    n and clusters of the estimate are the numerator's. DegenerateSample where a sample does not vary, and where the interval of the
    denominator, at `level` or at `alpha`, reaches 0.
    """
    alpha = check_alpha(alpha)
    above, below = finite(numerator, "numerator", 1), finite(denominator, "denominator", 1)
    groups = cluster(numerator_clusters, len(above), "numerator_clusters")
    other = cluster(denominator_clusters, len(below), "denominator_clusters")
    value, bottom = standardized_shift(above, "numerator"), standardized_shift(below, "denominator")
    tops, bottoms = _draws(above, groups, rng, resamples), _draws(below, other, rng, resamples)
    few, strictest = min(groups.count, other.count), min(alpha, level)
    lowest = bottom - few_clusters(few, strictest) * (bottom - float(np.quantile(bottoms, strictest / 2, method="inverted_cdf")))
    if lowest <= 0:
        raise DegenerateSample(
            f"the denominator ({bottom:g}) is not shown to be positive: its interval at {strictest:g} reaches to {lowest:.2g}"
        )
    value /= bottom
    draws = np.where(bottoms > 0, tops / np.where(bottoms > 0, bottoms, 1), np.inf)

    def ends(rate: float) -> tuple[float, float]:
        low, high = np.quantile(draws, [rate / 2, 1 - rate / 2], method="inverted_cdf")
        stretch = few_clusters(few, rate)
        return value - stretch * max(value - float(low), 0.0), value + stretch * max(float(high) - value, 0.0)

    return Estimate(value, *ends(level), *ends(alpha), alpha, len(above), groups.count)


def _draws(values: Floats, groups: Clusters, rng: np.random.Generator, resamples: int) -> Floats:
    """Standardized shift of each resample, [resamples]. A resample without variance gets a millionth of the sample's deviation."""
    weights = times_drawn(groups.count, rng, resamples)
    total = weights @ groups.sizes
    mean = weights @ groups.sums(values) / total
    centered = values - values.mean()
    variance = weights @ groups.sums(centered**2) / total - (weights @ groups.sums(centered) / total) ** 2
    return np.asarray(mean / np.sqrt(np.maximum(variance, 1e-12 * centered.var()) * total / (total - 1)))
