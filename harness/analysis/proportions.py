"""Intervals for a share: exact for independent trials, and for flags of scenarios clustered in domains.

Clopper and Pearson (1934); for clusters Korn and Graubard, Survey Methodology 24 (1998): Clopper–Pearson with the effective number of
scenarios p(1 − p) / V, never above the real one, and t quantiles for few clusters. Unlike a bootstrap it gives an interval also where no
flag, or every flag, is set; there nothing shows how clustered the flags are, and they are taken as independent.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from harness.analysis.sample import check_alpha, cluster, finite
from harness.data.measurement import Estimate


def exact_interval(k: int, n: int, alpha: float) -> Estimate:
    """Share of k successes in n independent trials, with intervals at .05 and `alpha`. ValueError where k is not 0 to n, or n is 0."""
    alpha = check_alpha(alpha)
    if n < 1:
        raise ValueError(f"n: is {n}, must be at least 1")
    if not 0 <= k <= n:
        raise ValueError(f"k: is {k}, must be 0 to n = {n}")
    return Estimate(k / n, *clopper_pearson(k, n, 0.05), *clopper_pearson(k, n, alpha), alpha, n=n, clusters=n)


def share_interval(flags: ArrayLike, clusters: ArrayLike | None, alpha: float, level: float = 0.05) -> Estimate:
    """Share of true `flags` [n], with intervals at `level` and `alpha`; `clusters` [n] names each scenario's domain.

    Nothing is random here. ValueError where a flag is neither true nor false, and as in mean_interval.
    """
    array = finite(flags, "flags", 1)
    alpha = check_alpha(alpha)
    if not np.isin(array, (0, 1)).all():
        raise ValueError("flags: must be true or false (0 or 1)")
    n = len(array)
    groups = cluster(clusters, n)
    share = float(array.mean())
    residuals = groups.sums(array - share) / n
    variance = groups.count / (groups.count - 1) * float(residuals @ residuals)

    def ends(rate: float) -> tuple[float, float]:
        effective = share * (1 - share) / variance if variance > 0 else float(n)
        few = float(stats.t.isf(rate / 2, n - 1) / stats.t.isf(rate / 2, groups.count - 1))
        size = min(effective * few**2, n)
        return clopper_pearson(share * size, size, rate)

    return Estimate(share, *ends(level), *ends(alpha), alpha, n=n, clusters=groups.count)


def clopper_pearson(k: float, n: float, level: float) -> tuple[float, float]:
    """Both ends of the exact interval for k successes in n trials at `level`; k and n need not be whole numbers."""
    low = float(stats.beta.ppf(level / 2, k, n - k + 1)) if k > 0 else 0.0
    high = float(stats.beta.isf(level / 2, k + 1, n - k)) if k < n else 1.0
    return low, high
