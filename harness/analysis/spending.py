"""How much of an error rate each of several looks at growing data may spend.

A check that is looked at until it is decided errs if it errs at any look. Where the interval of look k is taken at a level of its own and
these levels sum to `level`, it errs at most at that rate: Boole's inequality, for any interval and any dependence between looks. The
shares are the steps of the spending function α*(t) = 2 − 2 Φ(z_{α/2} / √t) of Lan and DeMets, Biometrika 70 (1983), which is close to
O'Brien and Fleming's boundaries: next to nothing is spent on the first looks, nearly all on the last. Departure: their boundaries use
the correlation between looks and are a little narrower; the sum does not need to know it. The price, at the last look, is an interval at
.041 to .044 in place of .05 for three looks that double.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from scipy import stats

from harness.analysis.sample import check_alpha


def spent(level: float, fraction: float) -> float:
    """What may have been spent of `level` once this `fraction` of the data is seen; all of it at 1."""
    level = check_alpha(level)
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction: is {fraction}, must lie above 0 and at most at 1")
    if fraction == 1:
        return level
    return 2 * float(stats.norm.sf(stats.norm.isf(level / 2) / math.sqrt(fraction)))


def shares(level: float, sizes: Sequence[int]) -> tuple[float, ...]:
    """What each look may spend: `sizes` rise from look to look, the last being all there is. They sum to `level`."""
    if not sizes or sizes[0] < 1 or any(after <= before for before, after in pairwise(sizes)):
        raise ValueError(f"sizes: are {list(sizes)}, must rise from at least 1")
    total = [0.0, *(spent(level, size / sizes[-1]) for size in sizes)]
    return tuple(after - before for before, after in pairwise(total))
