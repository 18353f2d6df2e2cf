"""Separation of one group of conversations from others in a space of directions: mean cosine within − mean cosine between.

A U-statistic of conversations: every one of them takes part in many cosines, so its spread comes from resampling conversations (whole
clusters of them), never cosines; a conversation's cosine with its own copy does not count. Two kinds of training are compared over pairs
of adapters, one of each kind a seed. Variance: V(seeds), and V(conversations) − V(rest) where that is above 0. What differs by seed and
conversation is in the first already; resampling conversations counts it again, twice over where the kernel is degenerate (all noise):
adding up both resamplings covered 100 times in 100, this 97 to 98. Student's t with Satterthwaite's degrees of freedom, at least the t
interval over seeds. It says whether the group stands apart more; it cannot say along which direction.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from harness.analysis.sample import Clusters, DegenerateSample, check_alpha, cluster, finite
from harness.data.arrays import Floats
from harness.data.measurement import Estimate


def separation(cosines: ArrayLike, inside: ArrayLike) -> Floats:
    """Of every matrix of `cosines` [..., n, n]: mean over pairs of the group − mean between the group and the others, [...]."""
    array, mask = np.asarray(cosines, dtype=np.float64), np.asarray(inside, dtype=bool)
    return _weighted(array[..., None, :, :], mask, np.ones((1, len(mask))))[..., 0]


def _weighted(cosines: Floats, inside: np.ndarray, weights: Floats) -> Floats:
    """Separation under conversation weights [draws, n] of `cosines` [..., 1, n, n]: [..., draws]."""
    group, others = weights * inside, weights * ~inside
    if (group > 0).sum(-1).min() < 2 or (others > 0).sum(-1).min() < 1:
        raise DegenerateSample("a resample holds fewer than two conversations of the group, or none of the others")
    square = cosines[..., 0, :, :]
    own = np.einsum("...ii,di->...d", square, group**2)
    within = (np.einsum("di,...ij,dj->...d", group, square, group, optimize=True) - own) / (group.sum(-1) ** 2 - (group**2).sum(-1))
    between = np.einsum("di,...ij,dj->...d", group, square, others, optimize=True) / (group.sum(-1) * others.sum(-1))
    return np.asarray(within - between)


def separation_gain(
    trained: ArrayLike,
    sham: ArrayLike,
    inside: ArrayLike,
    clusters: ArrayLike,
    alpha: float,
    rng: np.random.Generator,
    resamples: int = 1000,
) -> Estimate:
    """Separation after training minus after sham, `trained` and `sham` [seeds, n, n] cosines of the same conversations.

    `inside` [n] says which belong to the group, `clusters` [n] what is resampled together. Needs two seeds. DegenerateSample
    where nothing varies.
    """
    difference = finite(trained, "trained", 3) - finite(sham, "sham", 3)
    mask, alpha = np.asarray(inside, dtype=bool), check_alpha(alpha)
    seeds, n = difference.shape[:2]
    if seeds < 2:
        raise ValueError("trained: one seed, must be at least 2 (a single training says nothing about training)")
    groups = cluster(clusters, n)
    by_seed = separation(difference, mask)
    value, spread = float(by_seed.mean()), float(by_seed.std(ddof=1))
    if spread <= 1e-12:
        raise DegenerateSample(f"no variance between seeds: all {seeds} separate alike")
    drawn = _draws(difference, mask, groups, rng, resamples)  # [seeds, resamples]
    together, few = drawn.mean(axis=0), groups.count / (groups.count - 1)
    rest = float((drawn - together).var(axis=1).sum()) / (seeds * (seeds - 1))
    of_seeds, of_conversations = spread**2 / seeds, max(float(together.var()) - rest, 0.0) * few
    variance = of_seeds + of_conversations
    freedom = variance**2 / (of_seeds**2 / (seeds - 1) + of_conversations**2 / (groups.count - 1))

    def ends(level: float) -> tuple[float, float]:
        half = float(stats.t.isf(level / 2, freedom)) * math.sqrt(variance)
        half = max(half, float(stats.t.isf(level / 2, seeds - 1)) * math.sqrt(of_seeds))
        return value - half, value + half

    return Estimate(value, *ends(0.05), *ends(alpha), alpha, n=n, clusters=groups.count)


def _draws(difference: Floats, mask: np.ndarray, groups: Clusters, rng: np.random.Generator, resamples: int) -> Floats:
    """Separation gain of every seed in every resample of clusters, [seeds, resamples]."""
    picked = rng.multinomial(groups.count, np.full(groups.count, 1 / groups.count), size=resamples).astype(np.float64)
    weights = picked[:, groups.codes]  # a cluster drawn twice counts twice
    enough = ((weights * mask > 0).sum(1) >= 2) & ((weights * ~mask > 0).sum(1) >= 1)
    return _weighted(difference[:, None], mask, weights[enough])
