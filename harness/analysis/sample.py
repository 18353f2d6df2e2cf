"""Checks a sample before it is analyzed, and groups it into clusters.

There are two kinds of refusal. A ValueError names the argument: the caller made a mistake (NaN, shapes that do not match, no data). A
DegenerateSample says why well-formed data still carry no interval: the measurement is inconclusive, with that reason.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from harness.data.arrays import Floats, Integers


class DegenerateSample(ValueError):
    """The data are well formed and still carry no interval."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        """Why, in the words of an inconclusive verdict."""


def finite(values: ArrayLike, name: str, ndim: int, at_least: int = 2) -> Floats:
    """`values` as an array of floats. ValueError, with `name`, unless it has `ndim` axes, at least `at_least` entries along the last one,
    and neither NaN nor infinities.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != ndim:
        raise ValueError(f"{name}: has {array.ndim} axes (shape {array.shape}), must have {ndim}")
    if array.size == 0:
        raise ValueError(f"{name}: is empty (shape {array.shape})")
    if array.shape[-1] < at_least:
        raise ValueError(f"{name}: {array.shape[-1]} along the last axis, must be at least {at_least}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: {int((~np.isfinite(array)).sum())} of {array.size} values are NaN or infinite")
    return array


def check_alpha(alpha: float) -> float:
    """`alpha` as a float. ValueError unless it lies strictly between 0 and 1."""
    if not 0 < alpha < 1:
        raise ValueError(f"alpha: is {alpha}, must lie strictly between 0 and 1")
    return float(alpha)


@dataclass(frozen=True)
class Clusters:
    """Which cluster each scenario belongs to."""

    codes: Integers
    """The cluster of each scenario, [n], 0 … count − 1 in the order of the sorted names."""
    sizes: Floats
    """Number of scenarios in each cluster, [count]."""

    @property
    def count(self) -> int:
        """Number of clusters."""
        return len(self.sizes)

    def sums(self, values: Floats) -> Floats:
        """Sums of `values` [..., n] over the scenarios of each cluster, [..., count]."""
        if self.count == len(self.codes):
            total = np.empty_like(values)
            total[..., self.codes] = values
            return total
        return values @ np.eye(self.count)[self.codes]


def cluster(clusters: ArrayLike | None, n: int, name: str = "clusters") -> Clusters:
    """The clusters of n scenarios from one label each; with None each scenario is a cluster of its own.

    ValueError, with `name`, for another number of labels, NaN or None among them, and fewer than two clusters.
    """
    if clusters is None:
        return Clusters(codes=np.arange(n), sizes=np.ones(n))
    labels = np.asarray(clusters)
    if labels.shape != (n,):
        raise ValueError(f"{name}: shape {labels.shape}, must be one label for each of {n} scenarios")
    if labels.dtype.kind == "f" and np.isnan(labels).any():
        raise ValueError(f"{name}: contains NaN")
    if labels.dtype.kind == "O" and any(label is None for label in labels):
        raise ValueError(f"{name}: contains None")
    codes = np.unique(labels, return_inverse=True)[1]
    sizes = np.bincount(codes).astype(np.float64)
    if len(sizes) < 2:
        raise ValueError(f"{name}: a single cluster, must be at least 2 (its scenarios say nothing about other domains)")
    return Clusters(codes=codes, sizes=sizes)
