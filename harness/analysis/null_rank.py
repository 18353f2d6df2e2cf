"""An observed value against a population of nulls, such as label-shuffled vectors.

p = (1 + number of nulls ≥ observed) / (1 + number of nulls): Phipson and Smyth (2010), never 0. With N nulls p cannot be below 1 / (N + 1):
127 nulls give .0078 at best. It is exact where nulls and observed value are exchangeable if there is no effect (`sign_flips.py`);
resamples of scenarios are not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from harness.analysis.intervals import mean_interval
from harness.analysis.sample import DegenerateSample, finite
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
    deviations: float | None
    """Observed value minus the mean of the nulls, in standard deviations of the nulls; None where they do not vary."""


def null_rank(observed: float, nulls: ArrayLike) -> NullRank:
    """Rank of `observed` among `nulls` [k], the largest first. ValueError for no nulls, NaN or infinities."""
    population = finite(nulls, "nulls", 1, at_least=1)
    value = float(finite([observed], "observed", 1, at_least=1)[0])
    at_least = int((population >= value).sum())
    spread = float(population.std(ddof=1)) if len(population) > 1 else 0.0
    deviations = (value - float(population.mean())) / spread if spread > 0 else None
    return NullRank(1 + at_least, len(population), (1 + at_least) / (1 + len(population)), float(population.max()), deviations)


def above_nulls(
    observed: ArrayLike,
    nulls: ArrayLike,
    clusters: ArrayLike | None,
    alpha: float,
    rng: np.random.Generator,
    resamples: int = 2000,
    level: float = 0.05,
) -> Estimate:
    """Mean of `observed` [n] minus that of `nulls` [k, n], of the same scenarios, in `clusters` [n].

    The lower end is that of the rank, by inversion: `low` is above 0 if and only if the one-sided p of `null_rank` is at most `level` (at
    alpha: `low_alpha`, and alpha / 2). So it is exact for these scenarios and needs no assumption on how nulls are distributed.
    The upper ends say how large the effect may be: what separates one vector from its kind by luck (Student's prediction limit for one
    more null) and the mean over other scenarios (`mean_interval`) are independent, so the squares of the two distances add up (Zou and
    Donner, Statistics in Medicine 27, 2008). Departure: the one is an interval of a prediction. Two-sided rates, as everywhere.
    DegenerateSample where so few nulls cannot show a p of `level`, or as in mean_interval. ValueError as there.
    """
    values, population = finite(observed, "observed", 1), finite(nulls, "nulls", 2)
    if population.shape[1] != len(values):
        raise ValueError(f"nulls: {population.shape[1]} scenarios, must be {len(values)} as observed")
    if len(population) < 2:
        raise ValueError("nulls: one null, must be at least 2")
    means, count = population.mean(axis=1), len(population) + 1
    if math.floor(level * count + 1e-9) < 1:
        raise DegenerateSample(f"{len(population)} nulls cannot show a rank p of {level:.2g} or less")
    paired = mean_interval(values - population.mean(axis=0), clusters, alpha, rng, resamples, level)
    falling = np.sort(means)[::-1]

    def low(rate: float) -> float:
        return float(values.mean() - falling[max(math.floor(rate * count + 1e-9), 1) - 1])

    def high(rate: float, of_scenarios: float) -> float:
        luck = float(stats.t.isf(rate / 2, count - 2)) * float(means.std(ddof=1)) * math.sqrt(1 + 1 / (count - 1))
        return paired.value + math.hypot(luck, of_scenarios - paired.value)

    ends = (low(level), high(level, paired.high), min(low(alpha / 2), low(level)), high(alpha, paired.high_alpha))
    return Estimate(paired.value, *ends, paired.alpha, n=paired.n, clusters=paired.clusters)
