"""Fieller's interval for a ratio of two means a / b, which has the right level whatever the size of the denominator.

It holds all θ with (a − θ b)² ≤ t² V(a − θ b), with variances robust to clusters and G − 1 degrees of freedom for t, or Welch's where the
two means come from independent samples. Fieller, Journal of the Royal Statistical Society B 16 (1954). The interval is bounded only where
the denominator is shown to differ from 0; elsewhere the ratio is refused instead of reported with a huge interval.
"""

from __future__ import annotations

import math

from numpy.typing import ArrayLike
from scipy import stats

from harness.analysis.sample import Clusters, DegenerateSample, check_alpha, cluster, finite
from harness.data.arrays import Floats
from harness.data.measurement import Estimate


def ratio_interval(
    numerator: ArrayLike,
    denominator: ArrayLike,
    clusters: ArrayLike | None,
    alpha: float,
    *,
    independent: bool = False,
    denominator_clusters: ArrayLike | None = None,
    level: float = 0.05,
) -> Estimate:
    """Mean of `numerator` [n] over mean of `denominator` [n], of the same scenarios, in `clusters` [n]; intervals at `level` and `alpha`.

    With `independent=True` the denominator [m] is of other scenarios, in `denominator_clusters` [m]; n and clusters of the estimate are
    then the numerator's. Nothing is random here. DegenerateSample where the denominator's interval contains 0, at `level` or at `alpha`,
    or one of the two means is the same in every cluster. ValueError as in mean_interval.
    """
    above = finite(numerator, "numerator", 1)
    below = finite(denominator, "denominator", 1)
    alpha = check_alpha(alpha)
    groups = cluster(clusters, len(above))
    if independent:
        other = cluster(denominator_clusters, len(below), "denominator_clusters")
    elif denominator_clusters is not None:
        raise ValueError("denominator_clusters: given, but the samples are paired; set independent=True")
    elif below.shape != above.shape:
        raise ValueError(f"denominator: shape {below.shape}, must be {above.shape} as numerator, or set independent=True")
    else:
        other = groups
    a, b = float(above.mean()), float(below.mean())
    residuals, other_residuals = _residuals(above, groups), _residuals(below, other)
    aa, bb = float(residuals @ residuals), float(other_residuals @ other_residuals)
    for name, array, variance in (("numerator", above, aa), ("denominator", below, bb)):
        if math.sqrt(variance) <= 1e-12 * float(abs(array).max()):
            raise DegenerateSample(f"no variance: the {name} has the same mean in every cluster")
    ab = 0.0 if independent else float(residuals @ other_residuals)
    freedom = float(groups.count - 1)
    if independent and b != 0:
        scaled = (a / b) ** 2 * bb
        freedom = (aa + scaled) ** 2 / (aa**2 / (groups.count - 1) + scaled**2 / (other.count - 1))

    def ends(rate: float) -> tuple[float, float]:
        if (reason := _unshown(b, bb, min(freedom, other.count - 1), rate)) is not None:
            raise DegenerateSample(f"{reason}: the ratio has no bounded interval")
        square = float(stats.t.isf(rate / 2, freedom)) ** 2
        lead = b * b - square * bb
        middle = a * b - square * ab
        root = math.sqrt(max(middle**2 - lead * (a * a - square * aa), 0.0))
        return (middle - root) / lead, (middle + root) / lead

    return Estimate(a / b if b else math.nan, *ends(level), *ends(alpha), alpha, n=len(above), clusters=groups.count)


def unshown(denominator: ArrayLike, clusters: ArrayLike | None, level: float = 0.05) -> str | None:
    """Why a ratio over the mean of `denominator` [n], in `clusters` [n], is not to be given; None where that mean surely differs from 0.

    For ratios that are shown without an interval. The test at `level` is the one that `ratio_interval` makes. ValueError as there.
    """
    below = finite(denominator, "denominator", 1)
    groups = cluster(clusters, len(below))
    residuals = _residuals(below, groups)
    return _unshown(float(below.mean()), float(residuals @ residuals), groups.count - 1, check_alpha(level))


def _unshown(mean: float, variance: float, freedom: float, rate: float) -> str | None:
    if abs(mean) > float(stats.t.isf(rate / 2, freedom)) * math.sqrt(variance):
        return None
    return f"the denominator ({mean:g}) is not shown to differ from 0 at {rate:g}"


def _residuals(values: Floats, groups: Clusters) -> Floats:
    """Residuals of the clusters, [clusters], scaled so that their squares sum to the variance of the mean."""
    scale = math.sqrt(groups.count / (groups.count - 1)) / len(values)
    return groups.sums(values - values.mean()) * scale
