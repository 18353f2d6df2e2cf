"""The smallest number of examples whose effect is shown, tested in a fixed order from the largest down.

Each is tested at `level` (5 %: 95 % interval above 0) only if all larger ones passed: a fixed sequence needs no correction for the
number of points (Westfall and Krishen 2001). It stops at the first not shown above 0, so an effect at few examples that is gone at more
is no onset.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from harness.analysis.dose_curve import dose_curve
from harness.analysis.replicates import replicated_intervals
from harness.data.measurement import Estimate

Mode = Literal["continuous", "batched", "nightly"]


@dataclass(frozen=True)
class Onset:
    n: int | None
    """Examples; None where not even the largest number has an effect shown above 0."""
    mode: Mode
    """continuous (n ≤ 5), batched (n ≤ 50), nightly (more, or not shown)."""
    effects: tuple[Estimate, ...]
    """Effect at every n, in the order of `ns`; also those after the test stopped."""


def find_onset(
    ns: Sequence[int],
    effects: ArrayLike,
    clusters: ArrayLike | None,
    rng: np.random.Generator,
    resamples: int = 2000,
    level: float = 0.05,
) -> Onset:
    """Onset of `effects` [points, seeds, n] (trained − sham, paired by seed and scenario) over `ns` [points] examples, ascending."""
    estimates = replicated_intervals(dose_curve(ns, effects), clusters, level, rng, resamples, level)
    onset = None
    for n, estimate in zip(reversed(ns), reversed(estimates), strict=True):
        if estimate.low <= 0:
            break
        onset = n
    return Onset(onset, _mode(onset), estimates)


def _mode(onset: int | None) -> Mode:
    if onset is None or onset > 50:
        return "nightly"
    return "continuous" if onset <= 5 else "batched"
