"""The smallest number of examples that already gives most of the effect of the largest number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from harness.data.measurement import Estimate


@dataclass(frozen=True)
class KneePoint:
    """One point of the dose curve."""

    n: int
    """Examples."""
    effect: Estimate
    """Trained − sham."""
    shortfall: Estimate
    """(1 − share) × effect(max) − effect(n): its interval below 0 shows that n is enough, above 0 that it is not."""

    @property
    def enough(self) -> bool:
        return self.shortfall.high < 0

    @property
    def too_few(self) -> bool:
        return self.shortfall.low > 0


@dataclass(frozen=True)
class Knee:
    n: int | None
    """Examples; None where no number below the largest is shown to be enough."""
    low_n: int | None
    """95 % interval of the knee over the resamples; None where the largest number has no effect shown above 0."""
    high_n: int | None
    points: tuple[KneePoint, ...]
    """By ascending n, the largest last."""
    reason: str | None
    """Why there is no knee."""


def find_knee(
    ns: Sequence[int], effects: ArrayLike, clusters: ArrayLike | None, rng: np.random.Generator, share: float = 0.25, resamples: int = 2000
) -> Knee:
    """Knee of `effects` [points, seeds, n] (trained − sham, paired by seed and scenario) over `ns` [points] examples, ascending."""
    raise NotImplementedError
