"""An effect against the smallest one of interest: above 0, below 0, too small to matter, or not told.

The smallest effect of interest is a share of a whole W that is measured too: base's own separation, the effect of a training. "Less than"
is shown by two one-sided tests (Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15, 1987): the 95 % interval of
effect − share · W lies below 0, and that of effect + share · W above 0. Each is the interval of one sum, so it contains the uncertainty of
W, as Fieller's interval of a ratio does; where W is not shown to be above 0, nothing is shown to be less. That an interval holds 0 shows
nothing. Each test errs in 2.5 % of the samples in which the effect is just as large as the smallest of interest.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from harness.analysis.estimated import Answer, Estimated
from harness.analysis.sample import DegenerateSample
from harness.data.measurement import Estimate

Size = Literal["above", "below", "less"]
"""above and below 0, or less than the smallest effect of interest in either direction."""
MOST = 100.0
"""Factor by which data would have to grow beyond which the number is no plan."""


@dataclass(frozen=True)
class Sized:
    """An effect with what is needed to call it small; where it could not be measured, the reason alone."""

    effect: Estimated
    share: float = 0.0
    """Smallest effect of interest as a share of the whole, 0 to 1."""
    less: Estimate | None = None
    """Interval of effect − share × whole; below 0 where a gain is shown to be smaller than that. None where nothing was measured."""
    more: Estimate | None = None
    """Interval of effect + share × whole; above 0 where a loss is shown to be smaller than that. None where nothing was measured."""

    @property
    def size(self) -> Size | None:
        """None where the data do not tell. An effect shown to be small is "less", also where it is shown to differ from 0."""
        effect = self.effect.value
        if effect is None or self.less is None or self.more is None:
            return None
        if self.less.high < 0 < self.more.low:
            return "less"
        if effect.low > 0:
            return "above"
        return "below" if effect.high < 0 else None

    def answer(self, above: str, below: str, whole: str) -> Answer:
        """`above` or `below`, or "less than … of `whole`" with the direction that is shown beside it; no words, but what is missing, where
        the data do not tell.
        """
        effect, words = self.effect.value, f"less than {self.share:.0%} of {whole}"
        if effect is None or self.less is None or self.more is None:
            return Answer(None, self.effect.reason)
        numbers = f"{effect.value:.3g} [{effect.low:.3g}, {effect.high:.3g}]"
        if self.size == "less":
            sign = "shown to be above 0" if effect.low > 0 else "shown to be below 0" if effect.high < 0 else "of either sign"
            return Answer(words, f"{numbers}, {sign}")
        if self.size is not None:
            return Answer(above if self.size == "above" else below)
        bound = (self.more.value - self.less.value) / 2
        return Answer(None, f"{numbers} is shown neither to differ from 0 nor to be {words} ({bound:.3g}); {_price(effect, bound)}")


def _price(effect: Estimate, bound: float) -> str:
    """How much more data would tell, if the estimates stayed and intervals shrank with the root of the data."""
    room = max(abs(effect.value), bound - abs(effect.value))
    factor = ((effect.high - effect.low) / 2 / room) ** 2 if room > 0 else math.inf
    return f"about {max(factor, 1.1):.1f} times the data would tell" if factor <= MOST else "more data alone will hardly tell"


def sized(interval: Callable[[float], Estimate], share: float) -> Sized:
    """`interval(k)` returns the interval of effect + k · whole, from the same resamples for every k; `share` is above 0 and below 1.

    A DegenerateSample of `interval` becomes the reason; other errors pass through. ValueError for another share.
    """
    if not 0 < share < 1:
        raise ValueError(f"share: is {share}, must lie strictly between 0 and 1")
    try:
        effect, less, more = (interval(k) for k in (0.0, -share, share))
    except DegenerateSample as degenerate:
        return Sized(Estimated(None, degenerate.reason))
    return Sized(Estimated(effect), share, less, more)
