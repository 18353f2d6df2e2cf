"""Steering vectors from paired activations: what separates positive completions from negative ones.

All take `pos` and `neg` [n, d], row i of both from the same pair, and return a vector [d] that points from negative to positive.
difference_of_means and shuffled_difference keep the units of the activations (the norm of the first is the distance between the means);
first_component, logistic_probe and random_direction have unit norm. Scale before comparing doses.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from harness.analysis.sample import DegenerateSample, finite
from harness.data.arrays import Floats


def difference_of_means(pos: ArrayLike, neg: ArrayLike) -> Floats:
    """mean(pos) − mean(neg), in activation units. Rimsky et al., Steering Llama 2 via Contrastive Activation Addition (2024)."""
    return np.asarray(_differences(pos, neg).mean(axis=0))


def first_component(pos: ArrayLike, neg: ArrayLike) -> Floats:
    """First principal component of the paired differences, unit norm, positive on their mean.

    Components are taken about 0, as if every pair were entered in both directions: about the mean, the difference that all pairs share
    (the one looked for) would be removed first.
    """
    differences = _differences(pos, neg)
    if not differences.any():
        raise DegenerateSample("pos and neg are equal: there is no component")
    component = np.linalg.svd(differences, full_matrices=False)[2][0]
    return np.asarray(-component if component @ differences.mean(axis=0) < 0 else component)


def logistic_probe(pos: ArrayLike, neg: ArrayLike, strength: float = 1.0) -> Floats:
    """Weights of a logistic regression of positive against negative, unit norm; `strength` is the L2 penalty (1 / C of scikit-learn).

    Pairs are centered on their own mean, so that what pairs share (topic, length) is no feature, and all features are divided by one
    common scale: a direction in activation space, not in a whitened one.
    """
    from sklearn.linear_model import LogisticRegression  # here: a second to import, and only one of the methods needs it

    if not strength > 0:
        raise ValueError(f"strength: is {strength}, must be above 0")
    halves = _differences(pos, neg) / 2
    scale = float(np.sqrt((halves**2).mean()))
    if scale == 0:
        raise DegenerateSample("pos and neg are equal: there is nothing to tell apart")
    features = np.concatenate([halves, -halves]) / scale
    labels = np.repeat([1, 0], len(halves))
    weights = LogisticRegression(C=1 / strength, fit_intercept=False, max_iter=1000).fit(features, labels).coef_[0]
    return _unit(np.asarray(weights, dtype=np.float64))


def shuffled_difference(pos: ArrayLike, neg: ArrayLike, rng: np.random.Generator) -> Floats:
    """Difference of means with the labels of half of the pairs flipped, in activation units: a null for difference_of_means.

    Exactly half are flipped (of an odd number, one more or one fewer), so that what the pairs share cancels; with random flips
    some nulls would carry a good part of the vector itself. Its norm is smaller than the real one's: rescale before comparing.
    """
    differences = _differences(pos, neg)
    n = len(differences)
    flipped = n // 2 + (int(rng.integers(2)) if n % 2 else 0)
    signs = np.where(rng.permutation(n) < flipped, -1.0, 1.0)
    return np.asarray(signs @ differences / n)


def random_direction(d: int, rng: np.random.Generator) -> Floats:
    """Uniform on the sphere in `d` dimensions, unit norm."""
    if d < 1:
        raise ValueError(f"d: is {d}, must be at least 1")
    return _unit(rng.standard_normal(d))


def split_half_cosine(pos: ArrayLike, neg: ArrayLike, rng: np.random.Generator, splits: int = 50) -> float:
    """Mean cosine between the differences of means of two random halves of the pairs, −1 to 1, over `splits` splits.

    Near 0 where pairs share no direction. Each half has half of the pairs: the vector of all of them is more reliable than this.
    """
    differences = _differences(pos, neg)
    n = len(differences)
    if splits < 1:
        raise ValueError(f"splits: is {splits}, must be at least 1")
    cosines = []
    for _ in range(splits):
        order = rng.permutation(n)
        first, second = (_unit(differences[half].mean(axis=0)) for half in (order[: n // 2], order[n // 2 :]))
        cosines.append(float(first @ second))
    return float(np.clip(np.mean(cosines), -1, 1))


def _differences(pos: ArrayLike, neg: ArrayLike) -> Floats:
    """pos − neg, [n, d], at least two pairs."""
    positive, negative = finite(pos, "pos", 2, at_least=1), finite(neg, "neg", 2, at_least=1)
    if positive.shape != negative.shape:
        raise ValueError(f"neg: shape {negative.shape}, must be {positive.shape} as pos")
    if len(positive) < 2:
        raise ValueError("pos: one pair, must be at least 2")
    return positive - negative


def _unit(vector: Floats) -> Floats:
    length = float(np.linalg.norm(vector))
    if length == 0:
        raise DegenerateSample("the vector has no length")
    return np.asarray(vector / length)
