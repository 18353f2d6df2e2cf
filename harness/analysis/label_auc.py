"""How well a label that was given beforehand tells failing rollouts from succeeding ones: area under the ROC curve over rollouts.

AUC = P(a failing rollout's label > a succeeding one's) + ½ P(equal), over pairs of rollouts of different scenarios: two rollouts of one
scenario share their label and say nothing about it. Null: ½. Intervals resample scenarios, in whole clusters where they share a source, and
are at least as wide as a t interval with the standard error of the resamples. The ceiling is the AUC that failures in one half of a
scenario's rollouts have as a label for the other half, over many halves: where it is ½, failures do not depend on the scenario, and no
label can tell them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from harness.analysis.resampling import times_drawn
from harness.analysis.sample import DegenerateSample, check_alpha, cluster, finite
from harness.data.arrays import Floats
from harness.data.measurement import Estimate


def label_auc(
    labels: ArrayLike,
    failures: ArrayLike,
    rollouts: int,
    clusters: ArrayLike | None,
    alpha: float,
    rng: np.random.Generator,
    resamples: int = 2000,
) -> Estimate:
    """AUC of `labels` [n] (higher means harder) for `failures` [n], each a number of failed rollouts out of `rollouts`.

    `clusters` [n]. DegenerateSample where no rollout fails, all do, or the AUC is the same in every resample.
    """
    alpha = check_alpha(alpha)
    level, failed = finite(labels, "labels", 1), finite(failures, "failures", 1)
    if level.shape != failed.shape:
        raise ValueError(f"failures: shape {failed.shape}, must be {level.shape} as labels")
    if failed.sum() in (0, rollouts * len(failed)):
        raise DegenerateSample("no variance: " + ("no rollout failed" if failed.sum() == 0 else "every rollout failed"))
    return _interval(*_pairs(level, failed, rollouts), clusters, alpha, rng, resamples)


def _pairs(level: Floats, failed: Floats, rollouts: int) -> tuple[Floats, Floats]:
    """For scenarios i and j, [n, n] each: how many pairs of a failing rollout of i and a succeeding one of j the label orders rightly
    (ties count half), and how many such pairs there are.
    """
    pairs = failed[:, np.newaxis] * (rollouts - failed)[np.newaxis]
    np.fill_diagonal(pairs, 0)
    return pairs * (np.sign(level[:, np.newaxis] - level[np.newaxis]) + 1) / 2, pairs


def _interval(won: Floats, pairs: Floats, clusters: ArrayLike | None, alpha: float, rng: np.random.Generator, resamples: int) -> Estimate:
    """Sum of `won` over sum of `pairs`, [n, n] each, over resampled clusters of scenarios."""
    n, groups = len(won), cluster(clusters, len(won))
    won, pairs = (groups.sums(groups.sums(each).T) for each in (won, pairs))  # [clusters, clusters]
    if pairs.sum() == 0:
        raise DegenerateSample("no variance: all rollouts failed, or none")
    value = float(won.sum() / pairs.sum())
    weights = times_drawn(groups.count, rng, resamples)
    below = ((weights @ pairs) * weights).sum(axis=1)
    drawn = (((weights @ won) * weights).sum(axis=1) / np.where(below > 0, below, np.nan))[below > 0]
    error = float(drawn.std(ddof=1)) * float(np.sqrt(groups.count / (groups.count - 1)))
    if error <= 1e-12:
        raise DegenerateSample(f"no variance: the AUC is {value:g} in every resample")

    def ends(tail: float) -> tuple[float, float]:
        reach = float(stats.t.isf(tail / 2, groups.count - 1)) * error
        low, high = np.quantile(drawn, [tail / 2, 1 - tail / 2])
        return max(min(value - reach, float(low)), 0.0), min(max(value + reach, float(high)), 1.0)

    return Estimate(value, *ends(0.05), *ends(alpha), alpha, n=n, clusters=groups.count)


def ceiling(
    outcomes: ArrayLike, clusters: ArrayLike | None, alpha: float, rng: np.random.Generator, splits: int = 20, resamples: int = 2000
) -> Estimate:
    """AUC, 0 to 1, of the failures in one half of the rollouts as a label for the other half, over random halves in both directions.

    `outcomes` [n, rollouts] are 1 where a rollout failed, `clusters` [n]. Exactly 1 where each scenario fails always or never.
    DegenerateSample where no rollout fails, all do, or the AUC is the same in every resample.
    """
    failed = finite(outcomes, "outcomes", 2)
    alpha, half = check_alpha(alpha), failed.shape[1] // 2
    if np.ptp(failed) > 0 == np.ptp(failed, axis=1).max():
        return Estimate.exact(1.0, len(failed), alpha)
    won, pairs = np.zeros((2, len(failed), len(failed)))
    for _ in range(splits):
        order = rng.permutation(failed.shape[1])
        parts = failed[:, order[:half]].sum(axis=1), failed[:, order[half : 2 * half]].sum(axis=1)
        for label, other in (parts, parts[::-1]):
            right, all_ = _pairs(label, other, half)
            won, pairs = won + right, pairs + all_
    return _interval(won, pairs, clusters, alpha, rng, resamples)
