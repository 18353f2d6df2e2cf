"""The worst of many groups: simultaneous intervals for the mean of every group, and from them an interval for the lowest one.

Every group's mean gets an interval of mean ± c · s / √n_d, with s pooled over groups. c is chosen so that all intervals hold together: the
larger of Šidák's bound for Student's t (Hayter 1984 shows that it is conservative for means with a common s) and the quantile of max |T|
over resamples of the residuals (Westfall and Young, Resampling-Based Multiple Testing, 1993), which knows heavy tails. Where all
hold, the lowest true mean lies between the lowest of the lower and the lowest of the upper ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from harness.analysis.sample import DegenerateSample, check_alpha, cluster, finite
from harness.data.arrays import Floats
from harness.data.measurement import Estimate

RESAMPLES = 2000


@dataclass(frozen=True)
class WorstGroup:
    """The group with the lowest mean, and all means with their simultaneous 95 % intervals, in order of the mean."""

    estimate: Estimate
    """Of the lowest mean; `n` scenarios in `clusters` groups."""
    means: Sequence[tuple[str, float, float, float]]
    """Group, mean, lower and upper end."""


def worst_group(values: ArrayLike, groups: ArrayLike, alpha: float, rng: np.random.Generator) -> WorstGroup:
    """The lowest mean of `values` [n] over `groups` [n], which names the group of each.

    ValueError as in mean_interval; DegenerateSample where no group has two values, or the values of every group are equal.
    """
    array = finite(values, "values", 1)
    alpha = check_alpha(alpha)
    cluster(groups, len(array))  # refuses what is no clustering
    names, member = np.unique(np.asarray(groups), return_inverse=True)
    residuals = array - (np.bincount(member, array) / np.bincount(member))[member]
    freedom = len(array) - len(names)
    if freedom < 1 or float(np.abs(residuals).max()) <= 1e-12 * float(np.abs(array).max()):
        raise DegenerateSample("no variance within groups: nothing says how far a group's mean is off")
    counts = np.bincount(member)
    means = np.bincount(member, array) / counts
    error = np.sqrt(float(residuals @ residuals) / freedom / counts)
    inflate = np.sqrt(len(array) / freedom)
    largest = _largest(residuals * inflate, member, counts, freedom, rng)
    inner = _sidak(0.05, len(names), freedom)
    stretch = max(1.0, float(np.quantile(largest, 0.95)) / inner)

    def ends(level: float) -> tuple[Floats, Floats]:
        half = stretch * _sidak(level, len(names), freedom) * error
        return means - half, means + half

    (low, high), (low_alpha, high_alpha) = ends(0.05), ends(alpha)
    estimate = Estimate(
        float(means.min()),
        float(low.min()),
        float(high.min()),
        float(low_alpha.min()),
        float(high_alpha.min()),
        alpha,
        n=len(array),
        clusters=len(names),
    )
    order = np.argsort(means, kind="stable")
    return WorstGroup(estimate, [(str(names[i]), float(means[i]), float(low[i]), float(high[i])) for i in order])


def _sidak(level: float, groups: int, freedom: int) -> float:
    """Two-sided critical value of Student's t for `groups` intervals that hold together at 1 − `level`."""
    return float(stats.t.isf((1 - (1 - level) ** (1 / groups)) / 2, freedom))


def _largest(residuals: Floats, member: np.ndarray, counts: np.ndarray, freedom: int, rng: np.random.Generator) -> Floats:
    """max |T| over groups of every resample in which all values are drawn from the pooled residuals, [RESAMPLES]."""
    drawn = residuals[rng.integers(len(residuals), size=(RESAMPLES, len(residuals)))]
    sums = np.stack([np.bincount(member, row) for row in drawn])
    means = sums / counts
    within = np.maximum((drawn**2).sum(axis=1) - (means**2 * counts).sum(axis=1), 1e-300)
    return np.asarray(np.abs(means / np.sqrt(within[:, None] / freedom / counts)).max(axis=1))
