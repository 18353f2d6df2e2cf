"""How many scenarios would settle an inconclusive verdict, if the estimate stayed where it is.

Half-widths of intervals shrink with the square root of the number of scenarios, so an interval with half-width w at n scenarios shrinks to
a gap g at n' = n (w / g)². It assumes that the estimate stays, and that new scenarios bring new domains as the old ones did; it helps to
plan and promises no power.
"""

from __future__ import annotations

import math

MOST = 1_000_000
"""Scenarios beyond which a number is no plan."""


def n_to_resolve(gap: float, half_width: float, n: int) -> int | None:
    """Number of scenarios, above `n`, at which an interval would no longer reach its bound.

    `gap` is the distance from the estimate to the bound, `half_width` the distance from the estimate to the interval's end on that side at
    `n` scenarios, both in the check's unit. None where the gap is 0 or below (the estimate lies on the bound or beyond it), and where more
    than MOST scenarios would be needed. ValueError for NaN, infinities, a negative half-width, and n below 1.
    """
    if not math.isfinite(gap):
        raise ValueError(f"gap: is {gap}, must be finite")
    if not (math.isfinite(half_width) and half_width >= 0):
        raise ValueError(f"half_width: is {half_width}, must be finite and not negative")
    if n < 1:
        raise ValueError(f"n: is {n}, must be at least 1")
    if gap <= 0:
        return None
    ratio = half_width / gap
    needed = n * (ratio * ratio)  # infinite, not an OverflowError, where the gap is tiny
    return max(n + 1, math.ceil(needed)) if needed <= MOST else None
