"""Projection of a change (of attention, of a state) on the direction that training gives it, cross-fitted.

The direction for seed s and fold f is the mean, scaled to norm 1, of the trained arm's changes over the OTHER seeds and the scenarios of
the OTHER folds. So nothing is projected on a direction that it helped to estimate, and without a common direction the expected projection
is 0. Other arms (sham, opposite) are projected on the same directions. The size of a change follows the number of steps; its direction
tells arms apart. Test the paired difference to sham with replicated_interval. Seeds estimate each other's directions and so are not quite
independent: in simulations of nulls with 3 and 5 seeds such an interval lay above 0 in 2 to 5 % where training has a common direction, and
in up to 6 % where it has none, instead of in 2.5 %.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from harness.analysis.sample import DegenerateSample, finite
from harness.data.arrays import Floats, Integers


def direction_projection(deltas: ArrayLike, folds: ArrayLike) -> Floats:
    """Projection [seeds, n] of the trained arm's `deltas` [seeds, n, features] on its own out-of-fold directions, in the deltas' unit.

    Errors as in project_on.
    """
    return project_on(deltas, deltas, folds)


def project_on(arm: ArrayLike, trained: ArrayLike, folds: ArrayLike) -> Floats:
    """Projection [seeds, n] of another arm's changes on the trained arm's out-of-fold directions.

    `arm` and `trained` are [seeds, n, features], `folds` [n] the fold of each scenario, at least two; all scenarios of a domain should be
    in one fold (folds_by_cluster). Seed s of the arm is projected on directions without seed s of `trained`, because the two share
    initialization and order; an arm may have fewer seeds, not more. DegenerateSample where a direction has length 0, as in an arm that
    changed nothing. ValueError for other shapes, one seed, or one fold.
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
