"""Projection of a change (of attention, of a state) on the direction that training gives it, cross-fitted.

The direction for (seed s, fold f) is the unit mean of the trained arm's changes over the OTHER seeds and the scenarios of the OTHER folds,
so nothing is projected on a direction it helped to estimate: where there is no common direction the expected projection is 0. The same
directions serve the other arms (sham, opposite). Not a distance: size follows the number of steps, direction tells the arms apart.
"""

from __future__ import annotations

from numpy.typing import ArrayLike

from harness.analysis.sample import Floats


def direction_projection(deltas: ArrayLike, folds: ArrayLike) -> Floats:
    """Projection of the trained arm's `deltas` [seeds, n, features] on its own out-of-fold directions: [seeds, n], in units of deltas."""
    raise NotImplementedError


def project_on(arm: ArrayLike, trained: ArrayLike, folds: ArrayLike) -> Floats:
    """Projection of another arm's deltas [seeds, n, features] on the trained arm's out-of-fold directions: [seeds, n].

    Seed s of the arm uses the directions without seed s of `trained` (they share initialization and order); an arm may have fewer seeds,
    not more. `folds` [n]: the fold of each scenario; keep a domain in one fold (folds_by_cluster).
    """
    raise NotImplementedError
