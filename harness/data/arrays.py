"""The kinds of arrays that measurements are made of. The shape is written where an array is used, as `# [seeds, pairs]`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
"""Scores, distances, log-odds: anything measured."""
Integers = NDArray[np.int64]
"""Counts and indices."""
Flags = NDArray[np.bool_]
"""True or false, one for each scenario, key or head."""
Names = NDArray[np.str_]
"""The domain, tier or other cluster of each scenario."""
