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

from harness.analysis.resampling import times_drawn
from harness.analysis.sample import Clusters, DegenerateSample, check_alpha, cluster, finite
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
    """Agreement of `trained` [n, heads] minus the mean agreement of `shams` [seeds, n, heads], in the same splits.

    DegenerateSample with fewer than four clusters, and where leaving one out never changes the agreement.
    """
    one, others, alpha = finite(trained, "trained", 2), finite(shams, "shams", 3), check_alpha(alpha)
    groups = cluster(clusters, len(one))
    if groups.count < 4:
        raise DegenerateSample(f"{groups.count} domains cannot be split into halves of two")
    halves = _halves(groups.count, np.random.default_rng(int(rng.integers(2**32))), splits)  # the same splits for all
    sums, sham_sums = _sums(one, groups), [_sums(sham, groups) for sham in others]

    def gain(keep: np.ndarray) -> float:
        shammed = [_agreement(each, groups, halves, keep) for each in sham_sums]
        return _agreement(sums, groups, halves, keep) - float(np.mean(shammed))

    everyone = np.ones(groups.count, dtype=bool)
    value = gain(everyone)
    left_out = np.array([gain(np.arange(groups.count) != code) for code in range(groups.count)])
    error = math.sqrt((groups.count - 1) / groups.count * float(((left_out - left_out.mean()) ** 2).sum()))
    if error <= 1e-12:
        raise DegenerateSample("no variance: leaving a domain out never changes the agreement")

    def ends(level: float) -> tuple[float, float]:
        half = float(stats.t.isf(level / 2, groups.count - 1)) * error
        return value - half, value + half

    return Estimate(value, *ends(0.05), *ends(alpha), alpha, n=len(one), clusters=groups.count)


def first_place(effects: ArrayLike, clusters: ArrayLike, rng: np.random.Generator, resamples: int = 2000) -> tuple[list[int], float]:
    """The rows of `effects` [rows, n] ranked by their mean, largest first, and the share of resamples in which the same row is first.

    Whole clusters are resampled; `clusters` [n].
    """
    array = finite(effects, "effects", 2)
    groups = cluster(clusters, array.shape[1])
    weights = times_drawn(groups.count, rng, resamples)
    order = [int(i) for i in top(array.mean(axis=1), len(array))]
    firsts = (weights @ groups.sums(array).T).argmax(axis=1)
    return order, float((firsts == order[0]).mean())
