"""Area under the ROC curve of degraded against healthy replies to the same scenarios, and its gain over the AUC of other scores.

AUC = P(a degraded reply scores above a healthy one) + ½ P(equal), over all pairs of replies: Mann and Whitney (1947). Null: ½, or the mean
AUC of placebo scores. Intervals: whole clusters of scenarios are resampled, both replies of a scenario together; each end is at least as
far out as that of a t interval with the standard error of the resamples and G − 1 degrees of freedom (with few clusters G, percentiles are
too narrow). It says how well replies are ranked, not whether any cut-off separates them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from harness.analysis.resampling import times_drawn
from harness.analysis.sample import DegenerateSample, check_alpha, cluster, finite
from harness.data.arrays import Floats
from harness.data.measurement import Estimate


def auc(degraded: ArrayLike, healthy: ArrayLike) -> float:
    """AUC of two samples of scores, [n] and [m], 0 to 1."""
    above, below = finite(degraded, "degraded", 1, at_least=1), finite(healthy, "healthy", 1, at_least=1)
    return float(_wins(above[np.newaxis], below[np.newaxis])[0].mean())


def _wins(degraded: Floats, healthy: Floats) -> Floats:
    """1 where a degraded score is above a healthy one, ½ where equal: [k, n] and [k, m] to [k, n, m]."""
    difference = degraded[:, :, np.newaxis] - healthy[:, np.newaxis, :]
    return np.asarray((np.sign(difference) + 1) / 2)


def auc_gain(
    degraded: ArrayLike, healthy: ArrayLike, clusters: ArrayLike | None, alpha: float, rng: np.random.Generator, resamples: int = 2000
) -> tuple[Estimate, Floats]:
    """AUC of the first kind of scores minus the mean AUC of the others, and all AUCs [k].

    `degraded` and `healthy` [k, n] are k kinds of scores of n scenarios: the first kind is tested, the others are placebos; with k = 1 its
    AUC is compared with ½. `clusters` [n] is each scenario's domain. DegenerateSample where the gain is the same in every resample.
    """
    wins = _compared(degraded, healthy)
    return _interval(_contrast(wins), clusters, alpha, rng, resamples), np.asarray(wins.mean(axis=(1, 2)))


def auc_gain_by_scenario(degraded: ArrayLike, healthy: ArrayLike) -> Floats:
    """What each scenario contributes to the gain of `auc_gain`, [n]: their mean is the gain, their spread its uncertainty.

    A scenario's degraded reply against all healthy ones, plus its healthy reply against all degraded ones, less the gain: the
    structural components of DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988). They let a gain be replicated over trainings.
    """
    contrast = _contrast(_compared(degraded, healthy))
    return np.asarray(contrast.mean(axis=1) + contrast.mean(axis=0) - contrast.mean())


def _compared(degraded: ArrayLike, healthy: ArrayLike) -> Floats:
    above, below = finite(degraded, "degraded", 2), finite(healthy, "healthy", 2)
    if above.shape != below.shape:
        raise ValueError(f"healthy: shape {below.shape}, must be {above.shape} as degraded")
    return _wins(above, below)


def _contrast(wins: Floats) -> Floats:
    """The first kind's wins less the others' mean, [k, n, n] to [n, n]."""
    return np.asarray(wins[0] - (wins[1:].mean(axis=0) if len(wins) > 1 else 0.5))


def _interval(contrast: Floats, clusters: ArrayLike | None, alpha: float, rng: np.random.Generator, resamples: int) -> Estimate:
    alpha = check_alpha(alpha)
    groups = cluster(clusters, len(contrast))
    by_cluster = groups.sums(groups.sums(contrast).T)  # [clusters, clusters]
    value = float(contrast.mean())
    weights = times_drawn(groups.count, rng, resamples)
    drawn = ((weights @ by_cluster) * weights).sum(axis=1) / (weights @ groups.sizes) ** 2
    error = float(drawn.std(ddof=1)) * float(np.sqrt(groups.count / (groups.count - 1)))
    if error <= 1e-12:
        raise DegenerateSample(f"no variance: the gain in AUC is {value:g} in every resample")

    def ends(level: float) -> tuple[float, float]:
        reach = float(stats.t.isf(level / 2, groups.count - 1)) * error
        if level / 2 * resamples < 20:
            return value - reach, value + reach
        low, high = np.quantile(drawn, [level / 2, 1 - level / 2])
        return min(value - reach, float(low)), max(value + reach, float(high))

    return Estimate(value, *ends(0.05), *ends(alpha), alpha, n=len(contrast), clusters=groups.count)
