"""Interval for a mean over scenarios of several trainings, or of the one subject that was given.

Of several trainings of one kind it speaks of training (`replicates.py`); of a single subject it speaks of that subject, and only scenarios
are resampled (`intervals.py`). What one training of one's own says of training it cannot tell: then the caller concludes nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from harness.analysis.intervals import mean_interval
from harness.analysis.replicates import replicated_intervals
from harness.analysis.sample import finite
from harness.data.measurement import Estimate


def trainings_intervals(values: ArrayLike, clusters: ArrayLike | None, alpha: float, rng: np.random.Generator) -> tuple[Estimate, ...]:
    """Mean of every row of `values` [rows, trainings, n] with intervals at .05 and `alpha`; all rows with the same resamples.

    Errors as in replicated_interval and, for one training, as in mean_interval.
    """
    array = finite(values, "values", 3)
    if array.shape[1] > 1:
        return replicated_intervals(array, clusters, alpha, rng)
    seed = int(rng.integers(2**63))
    return tuple(mean_interval(row[0], clusters, alpha, np.random.default_rng(seed)) for row in array)
