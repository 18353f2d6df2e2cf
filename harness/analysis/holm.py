"""Holm's step-down adjustment of p values: rejecting all adjusted values up to α gives any false rejection with probability at most α.

Holm, Scandinavian Journal of Statistics 6 (1979): the k-th smallest of m is multiplied by m − k + 1, and raised to the one before it where
it is smaller. It holds for any dependence among the tests. It cannot repair a p value that is wrong by itself.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from harness.analysis.sample import finite
from harness.data.arrays import Floats


def holm_adjusted(p_values: ArrayLike) -> Floats:
    """Adjusted p values [m], at most 1, in the order given. ValueError for no p values, NaN, and values outside 0 … 1."""
    p = finite(p_values, "p_values", 1, at_least=1)
    if ((p < 0) | (p > 1)).any():
        raise ValueError("p_values: must lie between 0 and 1")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted
