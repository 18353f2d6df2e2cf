"""Steering vectors from paired activations: what separates positive completions from negative ones.

All take `pos` and `neg` [n, d], row i of both from the same pair, and return a vector [d] that points from negative to positive.
difference_of_means keeps the units of the activations (its norm is the distance between the means); the others have unit norm.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from harness.analysis.sample import Floats


def difference_of_means(pos: ArrayLike, neg: ArrayLike) -> Floats:
    """mean(pos) − mean(neg); activation units. Marks and Tegmark (2023); CAA, Rimsky et al. (2024)."""
    raise NotImplementedError


def first_component(pos: ArrayLike, neg: ArrayLike) -> Floats:
    """First principal component of the paired differences, about 0 and not about their mean; unit norm."""
    raise NotImplementedError


def logistic_probe(pos: ArrayLike, neg: ArrayLike, strength: float = 1.0) -> Floats:
    """Weights of an L2-regularized logistic regression of positive against negative on standardized features; unit norm."""
    raise NotImplementedError


def shuffled_difference(pos: ArrayLike, neg: ArrayLike, rng: np.random.Generator) -> Floats:
    """Difference of means after the labels of half of the pairs are flipped; activation units: a null for difference_of_means."""
    raise NotImplementedError


def random_direction(d: int, rng: np.random.Generator) -> Floats:
    """Uniform on the sphere in `d` dimensions; unit norm."""
    raise NotImplementedError


def split_half_cosine(pos: ArrayLike, neg: ArrayLike, rng: np.random.Generator, splits: int = 50) -> float:
    """Mean cosine between the differences of means of two random halves of the pairs, −1 to 1."""
    raise NotImplementedError
