"""Projection of a change (of attention, of a state) on the direction that training gives it, cross-fitted.

The direction for (seed s, fold f) is the unit mean of the trained arm's changes over the OTHER seeds and the scenarios of the OTHER folds,
so nothing is projected on a direction it helped to estimate: where there is no common direction the expected projection is 0. The same
directions serve the other arms (sham, opposite). Not a distance: size follows the number of steps, direction tells the arms apart.
Take intervals of the paired difference to sham, by replicated_interval. Seeds estimate each other's directions and so are not quite
independent: in simulations with 3 and 5 seeds such an interval lay above 0 in 2 to 5 % of nulls in which training has a common
direction, and in up to 6 % where it has none at all, instead of 2.5 %.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from harness.analysis.sample import DegenerateSample, finite
from harness.data.arrays import Floats, Integers


def direction_projection(deltas: ArrayLike, folds: ArrayLike) -> Floats:
    """Projection of the trained arm's `deltas` [seeds, n, features] on its own out-of-fold directions: [seeds, n], in units of deltas."""
    return project_on(deltas, deltas, folds)


def project_on(arm: ArrayLike, trained: ArrayLike, folds: ArrayLike) -> Floats:
    """Projection of another arm's deltas [seeds, n, features] on the trained arm's out-of-fold directions: [seeds, n].

    Seed s of the arm uses the directions without seed s of `trained` (they share initialization and order); an arm may have fewer seeds,
    not more. `folds` [n]: the fold of each scenario, at least two; keep a domain in one fold (folds_by_cluster). Raises
    DegenerateSample where a direction has no length (an arm that changed nothing).
    """
    source = finite(trained, "trained", 3, at_least=1)
    target = finite(arm, "arm", 3, at_least=1)
    seeds, n, features = source.shape
    if seeds < 2:
        raise ValueError("trained: one seed, must be at least 2 (a direction comes from other seeds)")
    if target.shape[1:] != (n, features) or len(target) > seeds:
        raise ValueError(f"arm: shape {target.shape}, must be (at most {seeds}, {n}, {features}) as trained")
    codes = _fold_codes(folds, n)
    projections = np.empty(target.shape[:2])
    for fold in range(codes.max() + 1):
        inside = codes == fold
        by_seed = source[:, ~inside].mean(axis=1)  # [seeds, features]
        others = (by_seed.sum(axis=0) - by_seed) / (seeds - 1)
        lengths = np.linalg.norm(others, axis=1, keepdims=True)
        if (lengths <= 1e-12 * np.abs(source).max()).any():
            raise DegenerateSample("the trained arm's mean change has no length: there is no direction to project on")
        projections[:, inside] = np.einsum("snf,sf->sn", target[:, inside], (others / lengths)[: len(target)])
    return projections


def _fold_codes(folds: ArrayLike, n: int) -> Integers:
    labels = np.asarray(folds)
    if labels.shape != (n,):
        raise ValueError(f"folds: shape {labels.shape}, must be one fold for each of {n} scenarios")
    codes = np.unique(labels, return_inverse=True)[1]
    if codes.max() < 1:
        raise ValueError("folds: a single fold, must be at least 2 (a direction comes from other scenarios)")
    return codes
