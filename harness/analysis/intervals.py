"""Interval for a mean over scenarios: on each side the wider of a t interval and a bootstrap-t that resamples clusters.

t* = (mean* − mean) / se*, with se the cluster-robust standard error of a ratio mean (sum of values / number of scenarios) and the factor
G / (G − 1) for G clusters. Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 12, whole clusters drawn as in Cameron,
Gelbach and Miller, Review of Economics and Statistics 90 (2008). Departure: the t interval (G − 1 degrees of freedom) is a floor, because
in simulations the bootstrap-t alone covered 93 % where tails are heavy, and the t interval alone 92 % where clusters are skewed.
It generalizes to domains like those at hand, and cannot know of scenarios that were never written.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from harness.analysis.resampling import times_drawn
from harness.analysis.sample import DegenerateSample, check_alpha, cluster, finite
from harness.data.arrays import Floats
from harness.data.measurement import Estimate

TAIL_RESAMPLES = 20
"""Resamples that must lie beyond a quantile; where there are fewer, the tail is extrapolated."""
WIDEST = 3.0
"""Largest ratio of a bootstrap critical value to the t quantile; larger ones are cut. Resamples in which all drawn clusters agree have no
standard error, and with few or discrete clusters a whole tail can consist of them."""


def mean_interval(
    values: ArrayLike, clusters: ArrayLike | None, alpha: float, rng: np.random.Generator, resamples: int = 2000, level: float = 0.05
) -> Estimate:
    """Mean of `values` [n] with intervals at `level` and `alpha`; `clusters` [n] names each scenario's domain.

    Tails that `resamples` cannot reach (alpha = .002 with 2000 resamples) are extrapolated from the 2.5 % quantiles. ValueError, naming the
    argument, for NaN, no or one observation, one cluster, and shapes that do not match. DegenerateSample where all clusters have the same
    mean, as they do where two identical subjects are compared: then Estimate.exact says it.
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
    weights = times_drawn(count, rng, resamples)  # [resamples, clusters]
    share = sizes / sizes.sum()
    total = weights @ share
    shift = weights @ residuals / total
    squares = weights @ residuals**2 - 2 * shift * (weights @ (residuals * share)) + shift**2 * (weights @ share**2)
    error = np.sqrt(np.maximum(squares, 0) * count / (count - 1)) / total
    vanishing = error <= 1e-7 * np.abs(residuals).max()
    return np.asarray(np.where(vanishing, np.copysign(np.inf, shift), shift / np.where(vanishing, 1, error)))


def _ends(mean: float, error: float, pivots: Floats, alpha: float, count: int) -> tuple[float, float]:
    """Both ends of the interval at `alpha`.

    Where the resamples do not reach, critical values are extrapolated from .05: their symmetric part in proportion to the t quantile, the
    part due to skewness in proportion to 2 t² + 1, as in the Edgeworth expansion of t (Hall, The Bootstrap and Edgeworth Expansion, 1992,
    section 2.4).
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
