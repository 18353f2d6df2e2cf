"""Interval for a mean over scenarios: the wider, on each side, of a t interval and a bootstrap-t that resamples clusters.

t* = (mean* − mean) / se*, with se the cluster-robust standard error of a ratio mean (sum of values / number of scenarios) and the factor
G / (G − 1) for G clusters. Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 12, whole clusters drawn as in Cameron,
Gelbach and Miller, Review of Economics and Statistics 90 (2008). Departure: the t interval (G − 1 degrees of freedom) is a floor, because
in simulations the bootstrap-t alone covered 93 % where tails are heavy, and the t interval alone 92 % where clusters are skewed.
It cannot see scenarios that were never written: it generalizes to domains like those at hand.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from harness.analysis.sample import DegenerateSample, check_alpha, cluster, finite
from harness.data.arrays import Floats
from harness.data.measurement import Estimate

TAIL_RESAMPLES = 20
"""A tail needs this many resamples beyond it; a thinner one is extrapolated."""
WIDEST = 3.0
"""A bootstrap critical value counts up to this many t quantiles. Resamples in which all drawn clusters agree have no standard error, and of
few or discrete clusters a tail can consist of them."""


def mean_interval(
    values: ArrayLike, clusters: ArrayLike | None, alpha: float, rng: np.random.Generator, resamples: int = 2000, level: float = 0.05
) -> Estimate:
    """Mean of `values` [n] with intervals at `level` and `alpha`; `clusters` [n] names each scenario's domain.

    Tails that `resamples` cannot reach (alpha = .002 of 2000) are extrapolated from the 2.5 % quantiles.
    Raises ValueError naming the argument for NaN, empty, one observation, one cluster, shapes that do not match; DegenerateSample where
    all clusters have the same mean. Whoever knows that both subjects are identical need not ask for an interval.
    """
    array = finite(values, "values", 1)
    alpha = check_alpha(alpha)
    if resamples < 1000:
        raise ValueError(f"resamples: is {resamples}, must be at least 1000")
    groups = cluster(clusters, len(array))
    mean = float(array.mean())
    residuals = groups.sums(array - mean) / len(array)  # [clusters], sums to 0
    error = math.sqrt(groups.count / (groups.count - 1) * float(residuals @ residuals))
    if error <= 1e-12 * float(np.abs(array).max()):
        raise DegenerateSample(f"no variance: the mean is {mean:g} in each of {groups.count} clusters")
    pivots = _pivots(residuals, groups.sizes, rng, resamples)
    low, high = _ends(mean, error, pivots, level, groups.count)
    low_alpha, high_alpha = _ends(mean, error, pivots, alpha, groups.count)
    return Estimate(mean, low, high, low_alpha, high_alpha, alpha, n=len(array), clusters=groups.count)


def _pivots(residuals: Floats, sizes: Floats, rng: np.random.Generator, resamples: int) -> Floats:
    """(mean* − mean) / se* of every resample, [resamples], infinite where se* is 0."""
    count = len(sizes)
    weights = rng.multinomial(count, np.full(count, 1 / count), size=resamples).astype(np.float64)  # [resamples, clusters]
    share = sizes / sizes.sum()
    total = weights @ share
    shift = weights @ residuals / total
    squares = weights @ residuals**2 - 2 * shift * (weights @ (residuals * share)) + shift**2 * (weights @ share**2)
    error = np.sqrt(np.maximum(squares, 0) * count / (count - 1)) / total
    vanishing = error <= 1e-7 * np.abs(residuals).max()
    return np.asarray(np.where(vanishing, np.copysign(np.inf, shift), shift / np.where(vanishing, 1, error)))


def _ends(mean: float, error: float, pivots: Floats, alpha: float, count: int) -> tuple[float, float]:
    """Both ends of the interval at `alpha`.

    Beyond the reach of the resamples the symmetric part of the critical values grows with the t quantile, the part that skewness adds with
    (2 t² + 1), as in the Edgeworth expansion of t (Hall, The Bootstrap and Edgeworth Expansion, 1992, section 2.4).
    """
    student = float(stats.t.isf(alpha / 2, count - 1))
    reachable = alpha if alpha / 2 * len(pivots) >= TAIL_RESAMPLES else max(alpha, 0.05)
    inner = float(stats.t.isf(reachable / 2, count - 1))
    left, right = np.clip(np.quantile(pivots, [reachable / 2, 1 - reachable / 2], method="inverted_cdf"), -WIDEST * inner, WIDEST * inner)
    symmetric = float(right - left) / 2 * student / inner
    skew = float(right + left) / 2 * (2 * student**2 + 1) / (2 * inner**2 + 1)
    below = min(max(symmetric + skew, student), WIDEST * student)
    above = min(max(symmetric - skew, student), WIDEST * student)
    return mean - below * error, mean + above * error
