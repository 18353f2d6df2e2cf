"""Rankings of heads: how far two halves of the scenarios agree on the top heads, and which layer comes first.

Agreement is the share of the top tenth of heads that two random halves of the clusters have in common, averaged over splits. Which heads
*can* move decides most of a ranking, so agreement means something only against its null: that of a training that moved as far and learned
nothing. The interval of the difference is a jackknife over clusters (Efron and Tibshirani 1993, chapter 11): each cluster in turn is left
out of its half, in the same splits, so that the luck of the splits cancels. The interval is wide: where there was no difference it covered
that in 99 of 100 simulations, because the set of top heads changes in jumps.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from harness.analysis.sample import Clusters, DegenerateSample, check_alpha, cluster, finite
from harness.analysis.trainings import trainings_intervals
from harness.data.arrays import Floats
from harness.data.measurement import Estimate

TOP = 0.10
"""Share of heads that count as top; at least one head."""


def top(scores: Floats, count: int) -> np.ndarray:
    """Indices of the `count` largest `scores` [heads], the largest first; of equal ones the first."""
    return np.argsort(-scores, kind="stable")[:count]


def agreement(distances: ArrayLike, clusters: ArrayLike, rng: np.random.Generator, splits: int = 100) -> float:
    """Overlap of the top tenth of heads between random halves of the clusters, 0 to 1.

    `distances` [n, heads] is how far each head moved in each scenario, `clusters` [n] each scenario's domain.
    """
    array = finite(distances, "distances", 2)
    groups = cluster(clusters, len(array))
    return _agreement(_sums(array, groups), groups, _halves(groups.count, rng, splits), np.ones(groups.count, dtype=bool))


def _sums(distances: Floats, groups: Clusters) -> Floats:
    """Sum of the distances over the scenarios of each cluster, [clusters, heads]."""
    return np.asarray(groups.sums(distances.T).T)


def _halves(count: int, rng: np.random.Generator, splits: int) -> np.ndarray:
    """Which clusters are in the first half of each split, [splits, clusters]."""
    return np.array([rng.permutation(count) < count // 2 for _ in range(splits)])


def _agreement(sums: Floats, groups: Clusters, halves: np.ndarray, keep: np.ndarray) -> float:
    count = max(1, round(TOP * sums.shape[1]))
    shared = 0
    for half in halves:
        means = [sums[part & keep].sum(0) / groups.sizes[part & keep].sum() for part in (half, ~half)]
        shared += len(set(top(means[0], count)) & set(top(means[1], count)))
    return float(shared / (len(halves) * count))


def agreement_gain(
    trained: ArrayLike, shams: ArrayLike, clusters: ArrayLike, alpha: float, rng: np.random.Generator, splits: int = 100
) -> Estimate:
    """Mean agreement of `trained` [trainings, n, heads] minus that of `shams` [seeds, n, heads], in the same splits.

    Several trainings are paired with as many shams, one of each a seed, and the variance between pairs is added to the jackknife's; a
    single subject is held against all shams, and only domains vary. DegenerateSample with fewer than four clusters, and where leaving one
    out never changes the agreement. ValueError for several trainings and another number of shams.
    """
    ours, others, alpha = finite(trained, "trained", 3), finite(shams, "shams", 3), check_alpha(alpha)
    count = len(ours)
    if count not in (1, len(others)):
        raise ValueError(f"trained: {count} trainings and {len(others)} shams, must be one training or as many as shams")
    groups = cluster(clusters, ours.shape[1])
    if groups.count < 4:
        raise DegenerateSample(f"{groups.count} domains cannot be split into halves of two")
    halves = _halves(groups.count, np.random.default_rng(int(rng.integers(2**32))), splits)  # the same splits for all
    sums, sham_sums = ([_sums(each, groups) for each in kind] for kind in (ours, others))

    def gains(keep: np.ndarray) -> Floats:
        """[trainings]"""
        own, sham = (np.array([_agreement(each, groups, halves, keep) for each in kind]) for kind in (sums, sham_sums))
        return np.asarray(own - (sham.mean() if count == 1 else sham))

    by_pair = gains(np.ones(groups.count, dtype=bool))
    value = float(by_pair.mean())
    left_out = np.array([gains(np.arange(groups.count) != code).mean() for code in range(groups.count)])
    of_domains = (groups.count - 1) / groups.count * float(((left_out - left_out.mean()) ** 2).sum())
    if of_domains <= 1e-24:
        raise DegenerateSample("no variance: leaving a domain out never changes the agreement")
    of_seeds = float(by_pair.var(ddof=1)) / count if count > 1 else 0.0
    freedom = (of_seeds + of_domains) ** 2 / (of_seeds**2 / max(count - 1, 1) + of_domains**2 / (groups.count - 1))

    def ends(level: float) -> tuple[float, float]:
        half = float(stats.t.isf(level / 2, freedom)) * math.sqrt(of_seeds + of_domains)
        if count > 1:
            half = max(half, float(stats.t.isf(level / 2, count - 1)) * math.sqrt(of_seeds))
        return value - half, value + half

    return Estimate(value, *ends(0.05), *ends(alpha), alpha, n=ours.shape[1], clusters=groups.count)


def first_place(effects: ArrayLike, clusters: ArrayLike, rng: np.random.Generator) -> tuple[list[int], Estimate]:
    """The rows of `effects` [rows, trainings, n] ranked by their mean, largest first, and by how much the first leads the row that comes
    closest to it.

    Closest is the row whose 95 % interval of the difference reaches lowest. Where that lies above 0, the first is shown to be first: each
    difference is tested at 2.5 %, and no correction is needed for choosing the first by the same data (Gutmann and Maymin, The Annals of
    Statistics 15, 1987). `clusters` [n]; errors as in trainings_intervals.
    """
    array = finite(effects, "effects", 3)
    order = [int(i) for i in top(array.mean(axis=(1, 2)), len(array))]
    leads = trainings_intervals(array[order[0]] - array[order[1:]], clusters, 0.05, rng)
    return order, min(leads, key=lambda lead: lead.low)
