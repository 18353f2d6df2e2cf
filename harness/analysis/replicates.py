"""Interval for a mean over training replicates (seeds) and scenarios, both resampled together.

The percentile interval of two_way_draws, stretched to the two-way variance V = V(seeds) + V(clusters) − V(rest) (Cameron, Gelbach and
Miller, Journal of Business and Economic Statistics 29, 2011) and to the tails of t with Satterthwaite's degrees of freedom; without
stretching it covers 84 % with 3 seeds. With fewer than 8 seeds each end is at least as far out as that of a t interval over seed means. It
generalizes to further trainings with the same data and to domains like those at hand. The estimate says what sets its width: seeds, where
they bring more of the variance than scenarios do, or where the t interval over seed means is the wider one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from harness.analysis.resampling import two_way_draws
from harness.analysis.sample import Clusters, DegenerateSample, check_alpha, cluster, finite
from harness.data.arrays import Floats
from harness.data.measurement import Estimate, Source

ENOUGH_SEEDS = 8
"""Seeds from which the t interval over seed means is no longer needed."""


def replicated_interval(
    values: ArrayLike, clusters: ArrayLike | None, alpha: float, rng: np.random.Generator, resamples: int = 2000, level: float = 0.05
) -> Estimate:
    """Mean of `values` [seeds, n] with intervals at `level` and `alpha`; seeds are independent trainings, at least two of them.

    `n` of the estimate counts scenarios and `clusters` their clusters; neither counts seeds. Errors as in mean_interval, and
    DegenerateSample where all seeds have the same values, so that nothing was replicated.
    """
    return replicated_intervals(finite(values, "values", 2)[np.newaxis], clusters, alpha, rng, resamples, level)[0]


def replicated_intervals(
    values: ArrayLike, clusters: ArrayLike | None, alpha: float, rng: np.random.Generator, resamples: int = 2000, level: float = 0.05
) -> tuple[Estimate, ...]:
    """replicated_interval of every row of `values` [rows, seeds, n], all rows with the same resamples."""
    array = finite(values, "values", 3)
    alpha = check_alpha(alpha)
    if resamples < 1000:
        raise ValueError(f"resamples: is {resamples}, must be at least 1000")
    if array.shape[1] < 2:
        raise ValueError("values: one seed, must be at least 2 (a single training says nothing about training)")
    groups = cluster(clusters, array.shape[2])
    draws = two_way_draws(array, groups, rng, resamples)
    return tuple(_interval(row, groups, drawn, alpha, level) for row, drawn in zip(array, draws, strict=True))


def _interval(values: Floats, groups: Clusters, draws: Floats, alpha: float, level: float) -> Estimate:
    seeds, n = values.shape
    tiny = 1e-12 * float(np.abs(values).max())
    if np.ptp(values, axis=0).max() <= tiny:
        raise DegenerateSample(f"no variance between seeds: all {seeds} have the same value in every scenario")
    mean = float(values.mean())
    variance = _two_way_variance(values, groups)
    if math.sqrt(variance.total) <= tiny or draws.std() <= tiny:
        raise DegenerateSample(f"no variance: the mean is {mean:g} in every seed and cluster")
    scale = math.sqrt(variance.total) / float(draws.std())
    below, above = np.maximum(np.array([-1, 1]) * (np.quantile(draws, [0.025, 0.975]) - mean), 0) * scale / stats.norm.isf(0.025)
    over_seeds = float(values.mean(axis=1).std(ddof=1)) / math.sqrt(seeds) if seeds < ENOUGH_SEEDS else 0.0

    def ends(rate: float) -> tuple[float, float]:
        student = float(stats.t.isf(rate / 2, variance.freedom))
        floor = float(stats.t.isf(rate / 2, seeds - 1)) * over_seeds
        return mean - max(student * float(below), floor), mean + max(student * float(above), floor)

    floor, student = (float(stats.t.isf(level / 2, freedom)) for freedom in (seeds - 1, variance.freedom))
    by_seeds = variance.of_seeds > variance.of_clusters or floor * over_seeds > student * float(min(below, above))
    limit: Source = "seeds" if by_seeds else "scenarios"
    return Estimate(mean, *ends(level), *ends(alpha), alpha, n=n, clusters=groups.count, limited_by=limit)


@dataclass(frozen=True)
class _Variance:
    """Variance of a mean over seeds and scenarios."""

    total: float
    of_seeds: float
    of_clusters: float
    freedom: float
    """Satterthwaite's degrees of freedom."""


def _two_way_variance(values: Floats, groups: Clusters) -> _Variance:
    """Of the mean of `values` [seeds, n]."""
    seeds, n = values.shape
    count = groups.count
    parts = groups.sums(values - values.mean()) / n  # [seeds, clusters], sums to 0
    by_seed = parts.sum(axis=1)
    by_cluster = parts.mean(axis=0)
    rest = parts - np.outer(by_seed, groups.sizes / n) - by_cluster
    seed_variance = float(by_seed @ by_seed) / (seeds * (seeds - 1))
    cluster_variance = float(by_cluster @ by_cluster) * count / (count - 1)
    rest_variance = float((rest**2).sum()) * count / (seeds * (seeds - 1) * (count - 1))
    variance = max(seed_variance + cluster_variance - rest_variance, seed_variance, cluster_variance)
    weighted = seed_variance**2 / (seeds - 1) + cluster_variance**2 / (count - 1)
    freedom = (seed_variance + cluster_variance) ** 2 / weighted if weighted > 0 else 1.0
    return _Variance(variance, seed_variance, cluster_variance, freedom)
