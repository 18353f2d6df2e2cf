"""An observed value held against a population of nulls (random or label-shuffled vectors).

p = (1 + number of nulls ≥ observed) / (1 + number of nulls): Phipson and Smyth (2010), never 0. With N nulls no p below 1 / (N + 1) can
be had: N = 38 gives .026. The nulls must be exchangeable with the observed value where nothing is there; a bootstrap over scenarios is not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from harness.analysis.intervals import mean_interval
from harness.analysis.sample import cluster, finite
from harness.data.measurement import Estimate


@dataclass(frozen=True)
class NullRank:
    rank: int
    """1: above every null. Ties count against the observed value."""
    size: int
    """Nulls, the observed value not among them."""
    p: float
    """One-sided."""
    maximum: float
    """Largest null."""


def null_rank(observed: float, nulls: ArrayLike) -> NullRank:
    """Rank of `observed` within `nulls` [k], large values first."""
    population = finite(nulls, "nulls", 1, at_least=1)
    value = float(finite([observed], "observed", 1, at_least=1)[0])
    at_least = int((population >= value).sum())
    return NullRank(rank=1 + at_least, size=len(population), p=(1 + at_least) / (1 + len(population)), maximum=float(population.max()))


def above_null(
    observed: ArrayLike,
    nulls: ArrayLike,
    clusters: ArrayLike | None,
    alpha: float,
    rng: np.random.Generator,
    resamples: int = 2000,
    level: float = 0.05,
) -> Estimate:
    """Mean of `observed` [n] minus the largest mean of `nulls` [k, n], on the same scenarios.

    Lower ends: scenarios (by cluster) are resampled and the largest null is taken anew in each resample. A maximum over resampled means
    lies above the maximum of the means, so these ends are conservative: too low, the more so the more nulls are near the top. Each end is
    also at least as wide as the paired interval against the largest null held fixed, so that the bias does not call a failure, and the
    upper one reaches as far as the lower: where many nulls tie, the largest is large by luck (without this 92.5 % were covered).
    Says how far above these nulls the effect stands on other scenarios; how rare such a value is among nulls, null_rank says.
    """
    values = finite(observed, "observed", 1)
    population = finite(nulls, "nulls", 2)
    if population.shape[1] != len(values):
        raise ValueError(f"nulls: {population.shape[1]} scenarios, must be {len(values)} as observed")
    means = population.mean(axis=1)
    paired = mean_interval(values - population[means.argmax()], clusters, alpha, rng, resamples, level)
    groups = cluster(clusters, len(values))
    weights = rng.multinomial(groups.count, np.full(groups.count, 1 / groups.count), size=resamples).astype(np.float64)
    sizes = (weights @ groups.sizes)[:, np.newaxis]
    drawn = weights @ groups.sums(values)[:, np.newaxis] / sizes  # [resamples, 1]
    highest = (weights @ groups.sums(population).T / sizes).max(axis=1, keepdims=True)
    low, high = np.quantile(drawn - highest, [0.025, 0.975]) - paired.value
    small_sample = math.sqrt(groups.count / (groups.count - 1)) / float(stats.norm.isf(0.025))

    def ends(rate: float, paired_low: float, paired_high: float) -> tuple[float, float]:
        stretch = small_sample * float(stats.t.isf(rate / 2, groups.count - 1))
        below, above = float(low) * stretch, max(float(high), -float(low)) * stretch
        return min(paired.value + below, paired_low), max(paired.value + above, paired_high)

    return Estimate(
        paired.value,
        *ends(level, paired.low, paired.high),
        *ends(alpha, paired.low_alpha, paired.high_alpha),
        paired.alpha,
        n=paired.n,
        clusters=paired.clusters,
    )
