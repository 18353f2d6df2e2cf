"""Interval for a ratio of two means (Fieller)."""

from __future__ import annotations

from numpy.typing import ArrayLike

from harness.data.measurement import Estimate


def ratio_interval(
    numerator: ArrayLike,
    denominator: ArrayLike,
    clusters: ArrayLike | None,
    alpha: float,
    *,
    independent: bool = False,
    denominator_clusters: ArrayLike | None = None,
) -> Estimate:
    """Mean of `numerator` [n] over mean of `denominator` [n], same scenarios. Deterministic: takes no generator.

    With `independent=True` the denominator [m] comes from other scenarios, in `denominator_clusters` [m].
    Raises DegenerateSample where an interval of the denominator covers 0.
    """
    raise NotImplementedError
