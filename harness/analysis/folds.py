"""Folds of scenarios in which a domain is never split."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from harness.analysis.sample import cluster
from harness.data.arrays import Integers


def folds_by_cluster(clusters: ArrayLike, count: int, rng: np.random.Generator) -> Integers:
    """Fold of each scenario, 0 … count − 1, [n]; all scenarios of a cluster share one, and folds hold equally many clusters within 1."""
    labels = np.asarray(clusters)
    groups = cluster(labels, labels.size)
    if not 2 <= count <= groups.count:
        raise ValueError(f"count: is {count}, must be 2 to {groups.count} (the number of clusters)")
    return rng.permutation(np.arange(groups.count) % count)[groups.codes]
