"""Checks a dose curve, the effect at each number of examples, before a statistic reads it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from numpy.typing import ArrayLike

from harness.analysis.sample import finite
from harness.data.arrays import Floats


def dose_curve(ns: Sequence[int], effects: ArrayLike) -> Floats:
    """`effects` as an array [points, seeds, n], with one point for each of `ns`.

    ValueError unless `ns` ascend from at least 1 and there are at least two points and two seeds.
    """
    array = finite(effects, "effects", 3)
    if len(ns) != len(array):
        raise ValueError(f"ns: {len(ns)} numbers, must be {len(array)} as effects has points")
    if len(ns) < 2:
        raise ValueError("ns: a single point, must be at least 2")
    if ns[0] < 1 or any(later <= earlier for earlier, later in pairwise(ns)):
        raise ValueError(f"ns: are {tuple(ns)}, must ascend from at least 1")
    if array.shape[1] < 2:
        raise ValueError("effects: one seed, must be at least 2 (a single training says nothing about training)")
    return array
