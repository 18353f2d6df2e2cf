"""How many scenarios would settle an inconclusive verdict, if the estimate stayed where it is.

Half-widths shrink with the square root of the number of scenarios: n' = n (half_width / |estimate − bound|)². It assumes that new scenarios
come with new domains as the old ones did, and that the estimate stays; it is an aid for planning, not a promise of power.
"""

from __future__ import annotations

import math

MOST = 1_000_000_000
"""Scenarios beyond which a number is no plan."""


def n_to_resolve(estimate: float, half_width: float, n: int, bound: float) -> int | None:
    """Smallest number of scenarios at which an interval of `half_width` at `n` no longer reaches `bound`; never below `n`.

    `half_width` is the distance from the estimate to the interval's end on the side of the bound. None where the estimate lies on the
    bound, or so near that it would take more than `MOST`: no number that can be had settles that.
    """
    if not all(map(math.isfinite, (estimate, half_width, bound))):
        raise ValueError(f"estimate, half_width, bound: are {estimate}, {half_width}, {bound}, must be finite")
    if half_width < 0:
        raise ValueError(f"half_width: is {half_width}, must not be negative")
    if n < 1:
        raise ValueError(f"n: is {n}, must be at least 1")
    gap = abs(estimate - bound)
    if gap == 0:
        return None
    ratio = half_width / gap
    needed = n * ratio * ratio
    return max(n, math.floor(needed) + 1) if needed < MOST else None
