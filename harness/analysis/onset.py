"""The smallest number of examples that is shown to have an effect, tested in a fixed order from the largest number down.

Null at each number: an effect of at most 0. Each is tested at `level` (at 5 %, its 95 % interval must lie above 0), and only if all larger
ones passed: a fixed sequence needs no correction for the number of points (Westfall and Krishen 2001). The test stops at the first number
whose effect is not shown; so an effect at few examples that is gone at more is no onset.
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
"""How often training pays: continuous from at most 5 examples, batched from at most 50, nightly from more or where none is shown."""


@dataclass(frozen=True)
class Onset:
    """The onset of an effect."""

    n: int | None
    """Number of examples; None where not even the effect of the largest number is shown to be above 0."""
    mode: Mode
    """The way of training that follows from `n`."""
    effects: tuple[Estimate, ...]
    """Effect at every number of examples, in the order of `ns`, including those at which the test had stopped."""


def find_onset(
    ns: Sequence[int],
    effects: ArrayLike,
    clusters: ArrayLike | None,
    rng: np.random.Generator,
    resamples: int = 2000,
    level: float = 0.05,
) -> Onset:
    """Onset of `effects` [points, seeds, n] (trained − sham, paired by seed and scenario) at `ns` [points] examples, ascending.

    Errors as in dose_curve and replicated_interval.
    """
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
