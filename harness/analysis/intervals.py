"""Interval for a mean over scenarios, by a bootstrap-t that resamples clusters.

t* = (mean* − mean) / se*, se the cluster-robust standard error of a ratio mean (sum of values / number of scenarios) with the factor
G / (G − 1), G the number of clusters. Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 12, with whole clusters
drawn as in Cameron, Gelbach and Miller, Review of Economics and Statistics 90 (2008).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from harness.data.measurement import Estimate


def mean_interval(
    values: ArrayLike, clusters: ArrayLike | None, alpha: float, rng: np.random.Generator, resamples: int = 2000
) -> Estimate:
    """Mean of `values` [n] with intervals at .05 and `alpha`; `clusters` [n] names each scenario's domain.

    Raises ValueError naming the argument for NaN, empty, one observation, one cluster, shapes that do not match; DegenerateSample where
    all clusters have the same mean.
    """
    raise NotImplementedError
