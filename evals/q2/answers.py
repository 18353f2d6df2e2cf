"""Q2's answers in words. An answer needs the whole interval on one side of a bound; otherwise only the reason is given."""

from __future__ import annotations

from collections.abc import Mapping

from evals.q2.design import CLOSE, ON_AVERAGE, OWN_TEMPERATURE
from harness.analysis.estimated import Answer
from harness.data.measurement import Estimate


def told(estimate: Estimate, bound: float, above: str, below: str) -> Answer:
    """`above` or `below` where the interval lies on that side of the bound, else the reason why there is no answer."""
    if estimate.low > bound:
        return Answer(above)
    if estimate.high < bound:
        return Answer(below)
    return Answer(None, f"{estimate.value:.3g} [{estimate.low:.3g}, {estimate.high:.3g}] is shown neither above nor below {bound:g}")


def calibrated(estimate: Estimate) -> Answer:
    """What the difference says: within ± `CLOSE`, beyond it on one side, or neither."""
    if estimate.low > -CLOSE and estimate.high < CLOSE:
        return Answer(ON_AVERAGE)
    if estimate.low > CLOSE:
        return Answer("easier than labeled")
    if estimate.high < -CLOSE:
        return Answer("harder than labeled")
    return Answer(None, f"{estimate.value:.3g} [{estimate.low:.3g}, {estimate.high:.3g}], calibrated is within ± {CLOSE:g}")


def best_temperature(said: Mapping[float, str | None]) -> Answer:
    """From the words of each temperature's difference (None: not told): the calibrated temperature nearest the loop's own."""
    if said[OWN_TEMPERATURE] == ON_AVERAGE:
        return Answer("calibrated as is")
    good = [temperature for temperature, words in said.items() if words == ON_AVERAGE]
    if good:
        return Answer(f"calibrated at {min(good, key=lambda each: abs(each - OWN_TEMPERATURE)):g}")
    if all(said.values()):
        return Answer("calibrated at none of them")
    open_ones = ", ".join(f"{temperature:g}" for temperature, words in said.items() if words is None)
    return Answer(None, f"at {open_ones} the scenarios do not say whether they are calibrated")
