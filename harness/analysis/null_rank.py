"""An observed value against a population of nulls, such as random or label-shuffled vectors.

p = (1 + number of nulls ≥ observed) / (1 + number of nulls): Phipson and Smyth (2010), never 0. With N nulls p cannot be below 1 / (N + 1):
38 nulls give .026 at best. Where there is no effect, nulls and observed value must be exchangeable; resamples of scenarios are not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from harness.analysis.intervals import mean_interval
from harness.analysis.resampling import times_drawn
from harness.analysis.sample import cluster, finite
from harness.data.measurement import Estimate


@dataclass(frozen=True)
class NullRank:
    """Where an observed value stands among nulls."""

    rank: int
    """1 is above every null. Ties count against the observed value."""
    size: int
    """Number of nulls, without the observed value."""
    p: float
    """One-sided p value."""
    maximum: float
    """The largest null, in the unit of the observed value."""


def null_rank(observed: float, nulls: ArrayLike) -> NullRank:
    """Rank of `observed` among `nulls` [k], the largest first. ValueError for no nulls, NaN or infinities."""
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
    """Mean of `observed` [n] minus the largest mean of `nulls` [k, n], on the same scenarios, in `clusters` [n].

    Clusters of scenarios are resampled, and each resample takes its own largest null. A maximum over resampled means lies above the maximum
    of the means, so the lower ends are too low, the more so the more nulls are near the top. Each end is also at least as far out as that
    of the paired interval against the largest null held fixed, so that this bias does not make a check fail. The upper end reaches at least
    as far as the lower: where many nulls tie, the largest is large by luck (without this rule 92.5 % were covered). The estimate says how
    far above these nulls the effect would be on other scenarios; null_rank says how rare such an effect is among nulls. Errors as in
    mean_interval.
    """
    values = finite(observed, "observed", 1)
    population = finite(nulls, "nulls", 2)
    if population.shape[1] != len(values):
        raise ValueError(f"nulls: {population.shape[1]} scenarios, must be {len(values)} as observed")
    means = population.mean(axis=1)
    paired = mean_interval(values - population[means.argmax()], clusters, alpha, rng, resamples, level)
    groups = cluster(clusters, len(values))
    weights = times_drawn(groups.count, rng, resamples)
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
