"""The distribution of failure probabilities over scenarios, from a few rollouts of each: a beta-binomial fit.

A scenario fails with probability p, p is beta-distributed over scenarios, and k of m rollouts fail: Skellam (1948). Shares of eight
rollouts vary more than the probabilities behind them, so a histogram of shares overstates how many scenarios are easy or hard. Maximum
likelihood over a grid of mean and a + b, which cannot diverge where all scenarios agree. Intervals resample scenarios, in whole clusters
where they share a source. A beta distribution has one hump, or two at the ends; three groups of scenarios it cannot show.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from harness.analysis.resampling import times_drawn
from harness.analysis.sample import DegenerateSample, check_alpha, cluster
from harness.data.arrays import Floats, Integers
from harness.data.measurement import Estimate

MEANS = np.linspace(0.005, 0.995, 199)
"""Grid of the mean a / (a + b)."""
SIZES = np.geomspace(0.1, 200, 60)
"""Grid of a + b: below 1 nearly every scenario fails always or never; at 200 all scenarios fail with about the same probability."""

KNOWN = 1000
"""Rollouts after which a failure probability is all but known."""


@dataclass(frozen=True)
class BetaBinomial:
    """A beta distribution of failure probabilities over scenarios, with the density p^(a − 1) (1 − p)^(b − 1) up to a factor."""

    a: float
    b: float

    @property
    def mean(self) -> float:
        """Mean failure probability, 0 to 1."""
        return self.a / (self.a + self.b)

    def within(self, low: float, high: float) -> float:
        """Share of scenarios whose failure probability lies in [low, high]."""
        return float(stats.beta.cdf(high, self.a, self.b) - stats.beta.cdf(low, self.a, self.b))

    def auc(self, rollouts: int = KNOWN) -> float:
        """AUC, ½ to 1, of the failures in `rollouts` other rollouts as a label; with the default, of a label that all but knows the
        failure probabilities.

        Failing rollouts come from scenarios whose probabilities have the density of Beta(a + 1, b), succeeding ones of Beta(a, b + 1).
        """
        counts = np.arange(rollouts + 1)
        failing, other = (stats.betabinom.pmf(counts, rollouts, a, b) for a, b in ((self.a + 1, self.b), (self.a, self.b + 1)))
        return float(failing @ (np.cumsum(other) - other / 2))


@cache
def _log_likelihoods(rollouts: int) -> Floats:
    """Log-likelihood of 0 to `rollouts` failures for every point of the grid, [means × sizes, rollouts + 1]."""
    a = (MEANS[:, np.newaxis] * SIZES).ravel()[:, np.newaxis]
    b = ((1 - MEANS)[:, np.newaxis] * SIZES).ravel()[:, np.newaxis]
    return np.asarray(stats.betabinom.logpmf(np.arange(rollouts + 1), rollouts, a, b))


def _best(histograms: Floats, rollouts: int) -> Integers:
    """The likeliest point of the grid for every histogram of counts: [h, rollouts + 1] to [h]."""
    return np.asarray((_log_likelihoods(rollouts) @ histograms.T).argmax(axis=0))


def _at(point: int) -> BetaBinomial:
    mean, size = MEANS[point // len(SIZES)], SIZES[point % len(SIZES)]
    return BetaBinomial(float(mean * size), float((1 - mean) * size))


def _counts(failures: ArrayLike, rollouts: int) -> Integers:
    counts = np.asarray(failures)
    if counts.ndim != 1 or counts.size < 2 or not np.issubdtype(counts.dtype, np.integer):
        raise ValueError(f"failures: {counts.dtype} of shape {counts.shape}; allowed: at least two whole numbers in a row")
    if counts.min() < 0 or counts.max() > rollouts:
        raise ValueError(f"failures: from {counts.min()} to {counts.max()}; allowed: 0 to {rollouts}, the rollouts")
    return counts.astype(np.int64)


def fit(failures: ArrayLike, rollouts: int) -> BetaBinomial:
    """The likeliest distribution for `failures` [scenarios], each a number of failed rollouts out of `rollouts`.

    ValueError for fewer than two scenarios and for counts that are no whole numbers from 0 to `rollouts`.
    """
    counts = _counts(failures, rollouts)
    return _at(int(_best(np.bincount(counts, minlength=rollouts + 1)[np.newaxis].astype(float), rollouts)[0]))


def share_within(
    failures: ArrayLike,
    rollouts: int,
    low: float,
    high: float,
    clusters: ArrayLike | None,
    alpha: float,
    rng: np.random.Generator,
    resamples: int = 1000,
) -> Estimate:
    """Share of scenarios with a failure probability in [low, high], with percentile intervals over resampled clusters.

    `failures` [scenarios] as in `fit`, `clusters` [scenarios]. DegenerateSample where the share is the same in every resample.
    """
    counts, alpha = _counts(failures, rollouts), check_alpha(alpha)
    groups = cluster(clusters, len(counts))
    by_group = groups.sums(np.eye(rollouts + 1)[counts].T).T  # [clusters, rollouts + 1]
    weights = times_drawn(groups.count, rng, resamples)
    points = _best(weights @ by_group, rollouts)
    shares = {point: _at(int(point)).within(low, high) for point in np.unique(points)}
    drawn = np.array([shares[point] for point in points])
    value = fit(counts, rollouts).within(low, high)
    if drawn.std() == 0:
        raise DegenerateSample(f"no variance: the share is {value:.3g} in every resample")

    def ends(level: float) -> tuple[float, float]:
        lower, upper = np.quantile(drawn, [level / 2, 1 - level / 2])
        return min(value, float(lower)), max(value, float(upper))

    return Estimate(value, *ends(0.05), *ends(alpha), alpha, n=len(counts), clusters=groups.count)


def overdispersion(
    failures: ArrayLike, rollouts: int, clusters: ArrayLike | None, alpha: float, rng: np.random.Generator, resamples: int = 2000
) -> Estimate:
    """Standardized variance of the failure probabilities: Var(p) / (p̄ (1 − p̄)), with intervals over resampled clusters of scenarios.

    0 where all scenarios fail with one probability, 1 where each fails always or never; of a beta distribution 1 / (a + b + 1): the
    correlation of two rollouts of one scenario. The estimate is one of moments: p² from pairs of rollouts of one scenario, p̄² from
    scenarios of different clusters, so that it may lie below 0; exactly 1 where each scenario fails always or never. `failures` [scenarios]
    as in `fit`, `clusters` [scenarios]. DegenerateSample where no rollout fails, or all do.
    """
    counts, alpha = _counts(failures, rollouts), check_alpha(alpha)
    if counts.sum() in (0, rollouts * len(counts)):
        raise DegenerateSample("no variance: " + ("no rollout failed" if counts.sum() == 0 else "every rollout failed"))
    if np.isin(counts, (0, rollouts)).all():
        return Estimate.exact(1.0, len(counts), alpha)
    groups = cluster(clusters, len(counts))
    shares = groups.sums(counts / rollouts)  # [clusters]
    squares = groups.sums(counts * (counts - 1) / (rollouts * (rollouts - 1)))

    def correlation(weights: Floats) -> Floats:
        """From how often each cluster is drawn, [resamples, clusters] to [resamples]; NaN where no two rollouts drawn differ."""
        n, total = weights @ groups.sizes, weights @ shares
        apart = (total**2 - weights**2 @ shares**2) / (n**2 - weights**2 @ groups.sizes**2)
        spread = total / n - apart
        return np.asarray((weights @ squares / n - apart) / np.where(spread > 0, spread, np.nan))

    value = float(correlation(np.ones((1, groups.count)))[0])
    drawn = correlation(times_drawn(groups.count, rng, resamples))
    drawn = drawn[np.isfinite(drawn)]
    error = float(drawn.std(ddof=1)) * math.sqrt(groups.count / (groups.count - 1))

    def ends(level: float) -> tuple[float, float]:
        reach = float(stats.t.isf(level / 2, groups.count - 1)) * error
        low, high = np.quantile(drawn, [level / 2, 1 - level / 2])
        return min(value - reach, float(low)), max(value + reach, float(high))

    return Estimate(value, *ends(0.05), *ends(alpha), alpha, n=len(counts), clusters=groups.count)
