"""Resampling of training replicates and scenarios together: seeds and clusters drawn independently, with replacement.

The pigeonhole bootstrap of Owen, Annals of Applied Statistics 1 (2007). Its spread is not that of the mean (too small for few seeds, too
large for what seeds and scenarios do not share); replicates.py rescales it.
"""

from __future__ import annotations

import numpy as np

from harness.analysis.sample import Clusters
from harness.data.arrays import Floats


def two_way_draws(values: Floats, groups: Clusters, rng: np.random.Generator, resamples: int) -> Floats:
    """Mean of every row of `values` [rows, seeds, n] in every resample: [rows, resamples], the same resamples for all rows."""
    seeds = values.shape[1]
    seed_weights = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples).astype(np.float64)
    weights = rng.multinomial(groups.count, np.full(groups.count, 1 / groups.count), size=resamples).astype(np.float64)
    totals = seeds * (weights @ groups.sizes)
    by_cluster = groups.sums(values)  # [rows, seeds, clusters]
    return np.asarray(np.stack([((seed_weights @ row) * weights).sum(axis=1) / totals for row in by_cluster]))
