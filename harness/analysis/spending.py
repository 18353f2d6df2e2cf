"""How much of an error rate each of several looks at growing data may spend.

A check that is looked at until it is decided errs if it errs at any look. Where each look has an interval at a level of its own, and these
levels sum to `level`, it errs at most at the rate `level`: Boole's inequality, for any interval and any dependence between looks. The
levels are the steps of the spending function α*(t) = 2 − 2 Φ(z_{α/2} / √t) of Lan and DeMets, Biometrika 70 (1983), which is close to
O'Brien and Fleming's boundaries: next to nothing is spent on the first looks, nearly all on the last. Departure: their boundaries use the
correlation between looks and are a little narrower; the sum does not need to know it. The price, for three looks that double, is an
interval at .041 to .044 instead of .05 at the last look.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from scipy import stats

from harness.analysis.sample import check_alpha


def spent(level: float, fraction: float) -> float:
    """The part of `level` that may be spent until this `fraction` of the data was seen; all of it at 1. ValueError outside (0, 1]."""
    level = check_alpha(level)
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction: is {fraction}, must lie above 0 and at most at 1")
    if fraction == 1:
        return level
    return 2 * float(stats.norm.sf(stats.norm.isf(level / 2) / math.sqrt(fraction)))


def shares(level: float, sizes: Sequence[int]) -> tuple[float, ...]:
    """The part of `level` that each look may spend, [looks]; they sum to `level`.

    `sizes` [looks] is how much data each look has; the last has all. ValueError unless they rise from at least 1.
    """
    if not sizes or sizes[0] < 1 or any(after <= before for before, after in pairwise(sizes)):
        raise ValueError(f"sizes: are {list(sizes)}, must rise from at least 1")
    total = [0.0, *(spent(level, size / sizes[-1]) for size in sizes)]
    return tuple(after - before for before, after in pairwise(total))
