"""Folds of scenarios, with all scenarios of a domain in one fold."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from harness.analysis.sample import cluster
from harness.data.arrays import Integers


def folds_by_cluster(clusters: ArrayLike, count: int, rng: np.random.Generator) -> Integers:
    """The fold of each scenario [n], 0 … count − 1. A cluster is in one fold; the numbers of clusters in two folds differ by at most 1.

    ValueError where `count` is below 2 or above the number of clusters.
    """
    labels = np.asarray(clusters)
    groups = cluster(labels, labels.size)
    if not 2 <= count <= groups.count:
        raise ValueError(f"count: is {count}, must be 2 to {groups.count} (the number of clusters)")
    return rng.permutation(np.arange(groups.count) % count)[groups.codes]
