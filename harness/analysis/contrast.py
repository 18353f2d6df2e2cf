"""Steering vectors from paired activations: the direction that separates positive completions from negative ones.

All methods take `pos` and `neg` [n, d], row i of both from the same pair, and return a vector [d] that points from negative to positive.
difference_of_means keeps the unit of the activations (its norm is the distance between the means); first_component and logistic_probe have
norm 1. Scale vectors to one norm before comparing doses. A vector that separates completions need not steer them; only steering with it
shows that.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from harness.analysis.sample import DegenerateSample, finite
from harness.data.arrays import Floats


def difference_of_means(pos: ArrayLike, neg: ArrayLike) -> Floats:
    """mean(pos) − mean(neg) [d], in activation units. Rimsky et al., Steering Llama 2 via Contrastive Activation Addition (2024)."""
    return np.asarray(_differences(pos, neg).mean(axis=0))


def first_component(pos: ArrayLike, neg: ArrayLike) -> Floats:
    """First principal component [d] of the paired differences, of norm 1 and turned to point along their mean.

    Differences are not centered, as if every pair were entered in both directions: centering would remove the difference that all pairs
    share, which is the one that is looked for. DegenerateSample where `pos` and `neg` are equal.
    """
    differences = _differences(pos, neg)
    if not differences.any():
        raise DegenerateSample("pos and neg are equal: there is no component")
    component = np.linalg.svd(differences, full_matrices=False)[2][0]
    return np.asarray(-component if component @ differences.mean(axis=0) < 0 else component)


def logistic_probe(pos: ArrayLike, neg: ArrayLike, strength: float = 1.0) -> Floats:
    """Weights [d] of a logistic regression of positive against negative, of norm 1; `strength` is the L2 penalty (1 / C of scikit-learn).

    Every pair is centered on its own mean, so that what its two completions share (topic, length) is no feature. All features are divided
    by one common scale, so that the result is a direction in activation space and not in a whitened one. DegenerateSample where `pos` and
    `neg` are equal, ValueError where `strength` is not above 0.
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


def split_half_cosine(pos: ArrayLike, neg: ArrayLike, rng: np.random.Generator, splits: int = 50) -> float:
    """Mean cosine between the differences of means of two random halves of the pairs, −1 to 1, over `splits` splits.

    Near 0 where pairs share no direction. Each vector comes from half of the pairs, so the vector of all pairs is more reliable than this.
    DegenerateSample where the mean difference of a half is 0.
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
