"""The smallest number of examples whose effect is shown, tested in a fixed order from the largest down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

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
    ns: Sequence[int], effects: ArrayLike, clusters: ArrayLike | None, rng: np.random.Generator, alpha: float = 0.05, resamples: int = 2000
) -> Onset:
    """Onset of `effects` [points, seeds, n] (trained − sham, paired by seed and scenario) over `ns` [points] examples, ascending."""
    raise NotImplementedError
