"""The knee of a dose curve: the smallest number of examples that already gives most of the effect of the largest number.

n examples are enough where the 95 % interval of (1 − share) × effect(max) − effect(n) lies below 0: then effect(n) is shown to fall short
of effect(max) by less than `share` of it. No curve is fitted and no curvature is looked for: methods that do find a knee in pure noise
(kneed in 399 of 400 sweeps). Here there is no knee unless effect(max) itself is shown to be above 0. It cannot see beyond the largest n:
where the curve still rises there, the knee is relative to that point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from harness.analysis.dose_curve import dose_curve
from harness.analysis.replicates import replicated_intervals
from harness.analysis.resampling import two_way_draws
from harness.analysis.sample import cluster
from harness.data.arrays import Floats
from harness.data.measurement import Estimate


@dataclass(frozen=True)
class KneePoint:
    """One point of the dose curve."""

    n: int
    """Number of examples."""
    effect: Estimate
    """Trained − sham, in the unit of the effects."""
    shortfall: Estimate
    """(1 − share) × effect(max) − effect(n). An interval below 0 shows that n is enough, one above 0 that it is too few."""

    @property
    def enough(self) -> bool:
        """Whether n is shown to be enough."""
        return self.shortfall.high < 0

    @property
    def too_few(self) -> bool:
        """Whether n is shown to be too few; where it is neither, the data do not tell."""
        return self.shortfall.low > 0


@dataclass(frozen=True)
class Knee:
    """The knee, or the reason why there is none, with all points of the curve."""

    n: int | None
    """Number of examples at the knee; None where no number below the largest is shown to be enough."""
    low_n: int | None
    """Lower end of the knee's 95 % interval: that of the resampled knees, or the smallest n not shown to be too few if that is smaller.
    None where the effect of the largest number is not shown to be above 0."""
    high_n: int | None
    """Upper end: that of the resampled knees, or `n` if that is larger; the largest number where there is no knee."""
    points: tuple[KneePoint, ...]
    """Ascending by n."""
    reason: str | None
    """Why there is no knee; None where there is one."""


def find_knee(
    ns: Sequence[int],
    effects: ArrayLike,
    clusters: ArrayLike | None,
    rng: np.random.Generator,
    share: float = 0.25,
    resamples: int = 2000,
    level: float = 0.05,
) -> Knee:
    """Knee of `effects` [points, seeds, n] (trained − sham, paired by seed and scenario) at `ns` [points] examples, ascending.

    Intervals are at `level`. Errors as in dose_curve and replicated_interval; ValueError where `share` is not between 0 and 1.
    """
    array = dose_curve(ns, effects)
    if not 0 < share < 1:
        raise ValueError(f"share: is {share}, must lie strictly between 0 and 1")
    shortfalls = (1 - share) * array[-1] - array
    rows = np.concatenate([array, shortfalls])
    seed = int(rng.integers(2**63))
    estimates = replicated_intervals(rows, clusters, level, np.random.default_rng(seed), resamples, level)
    points = tuple(map(KneePoint, ns, estimates[: len(ns)], estimates[len(ns) :]))
    largest = points[-1]
    if largest.effect.low <= 0:
        return Knee(None, None, None, points, f"the effect at {largest.n} examples is not shown to be above 0")
    draws = two_way_draws(shortfalls, cluster(clusters, array.shape[2]), np.random.default_rng(seed), resamples)  # the same resamples
    low_n, high_n = _interval(ns, draws, level)
    low_n = min([low_n, *(point.n for point in points if not point.too_few)])
    found = next((point.n for point in points[:-1] if point.enough), None)
    if found is None:
        return Knee(None, low_n, largest.n, points, f"no number of examples below {largest.n} is shown to be enough")
    return Knee(found, min(low_n, found), max(high_n, found), points, None)


def _interval(ns: Sequence[int], shortfalls: Floats, level: float) -> tuple[int, int]:
    """The `level` / 2 and 1 − `level` / 2 quantiles, over resamples, of the smallest n without a shortfall; [points, resamples]."""
    enough = shortfalls <= 0
    enough[-1] = True
    knees = np.asarray(ns)[enough.argmax(axis=0)]
    low, high = np.quantile(knees, [level / 2, 1 - level / 2], method="inverted_cdf")
    return int(low), int(high)
