"""The kinds of arrays that measurements are made of; shapes stand where they are used, as `# [seeds, pairs]`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
Names = NDArray[np.str_]
"""Domains, tiers and other clusters, by scenario."""
