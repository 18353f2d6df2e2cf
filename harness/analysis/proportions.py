"""Intervals for a share: exact for independent trials, and for flags of scenarios clustered in domains."""

from __future__ import annotations

from numpy.typing import ArrayLike

from harness.data.measurement import Estimate


def exact_interval(k: int, n: int, alpha: float) -> Estimate:
    """k successes of n independent trials (Clopper and Pearson)."""
    raise NotImplementedError


def share_interval(flags: ArrayLike, clusters: ArrayLike | None, alpha: float) -> Estimate:
    """Share of true `flags` [n], scenarios clustered by domain (Korn and Graubard). Deterministic: takes no generator."""
    raise NotImplementedError
