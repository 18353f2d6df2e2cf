"""Interval for a mean over training replicates (seeds) and scenarios, both resampled together."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from harness.data.measurement import Estimate


def replicated_interval(
    values: ArrayLike, clusters: ArrayLike | None, alpha: float, rng: np.random.Generator, resamples: int = 2000
) -> Estimate:
    """Mean of `values` [seeds, n] with intervals at .05 and `alpha`. Needs at least two seeds; seeds are independent trainings."""
    raise NotImplementedError


def replicated_intervals(
    values: ArrayLike, clusters: ArrayLike | None, alpha: float, rng: np.random.Generator, resamples: int = 2000
) -> tuple[Estimate, ...]:
    """The same for every row of `values` [rows, seeds, n], all with the same resamples."""
    raise NotImplementedError
