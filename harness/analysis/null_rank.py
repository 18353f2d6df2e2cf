"""An observed value held against a population of nulls (random or label-shuffled vectors).

p = (1 + number of nulls ≥ observed) / (1 + number of nulls): Phipson and Smyth (2010), never 0. With N nulls no p below 1 / (N + 1) can
be had: N = 38 gives .026. The nulls must be exchangeable with the observed value where nothing is there; a bootstrap over scenarios is not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from harness.data.measurement import Estimate


@dataclass(frozen=True)
class NullRank:
    rank: int
    """1: above every null. Ties count against the observed value."""
    size: int
    """Nulls, the observed value not among them."""
    p: float
    """One-sided."""
    maximum: float
    """Largest null."""


def null_rank(observed: float, nulls: ArrayLike) -> NullRank:
    """Rank of `observed` within `nulls` [k], large values first."""
    raise NotImplementedError


def above_null(
    observed: ArrayLike, nulls: ArrayLike, clusters: ArrayLike | None, alpha: float, rng: np.random.Generator, resamples: int = 2000
) -> Estimate:
    """Mean of `observed` [n] minus the largest mean of `nulls` [k, n], on the same scenarios."""
    raise NotImplementedError
