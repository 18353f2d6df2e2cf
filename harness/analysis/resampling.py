"""Resampling of whole clusters of scenarios with replacement, alone or together with training replicates (seeds).

Seeds and clusters are drawn independently: the pigeonhole bootstrap of Owen, Annals of Applied Statistics 1 (2007). The variance of its
resamples is not that of the mean (too small with few seeds, too large for what seeds and scenarios do not share); replicates.py rescales
it.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from harness.analysis.sample import Clusters
from harness.data.arrays import Floats


def times_drawn(count: int, rng: np.random.Generator, resamples: int) -> Floats:
    """How often each of `count` clusters (or seeds) is drawn in each resample, [resamples, count]; rows sum to `count`."""
    return rng.multinomial(count, np.full(count, 1 / count), size=resamples).astype(np.float64)


def few_clusters(count: int, level: float) -> float:
    """Factor by which a percentile interval at `level` over G = `count` resampled clusters is stretched: t(G − 1) / z · √(G / (G − 1)).

    Percentiles of few clusters are too narrow (Hesterberg, The American Statistician 69, 2015).
    """
    return float(stats.t.isf(level / 2, count - 1) / stats.norm.isf(level / 2)) * math.sqrt(count / (count - 1))


def two_way_draws(values: Floats, groups: Clusters, rng: np.random.Generator, resamples: int) -> Floats:
    """Mean of every row of `values` [rows, seeds, n] in every resample: [rows, resamples]. All rows have the same resamples."""
    seeds = values.shape[1]
    seed_weights = times_drawn(seeds, rng, resamples)
    weights = times_drawn(groups.count, rng, resamples)
    totals = seeds * (weights @ groups.sizes)
    by_cluster = groups.sums(values)  # [rows, seeds, clusters]
    return np.asarray(np.stack([((seed_weights @ row) * weights).sum(axis=1) / totals for row in by_cluster]))
