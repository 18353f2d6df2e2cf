"""What the gate says of one measurement under one threshold: pass, fail, inconclusive, settled, not_applicable or error.

Passing uses the 95 % interval [L, U] (all gates must pass, so no correction), failing the one at the threshold's alpha.
Superiority to m: pass if L > m, fail if U_alpha < m. Non-inferiority with margin m: pass if L > -m, otherwise fail if
U_alpha < 0. Everything between is inconclusive. An exact value (an interval of no width) on the bound itself passes. Superiority with a
smallest effect of interest s > m: pass if L > m, otherwise fail if U_alpha < s. What passes although [L, U] lies wholly on the worse side
of "unchanged" is marked as a proven loss.

Nothing measured (n = 0), numbers that are not finite, and differences from a bound that are no larger than rounding are inconclusive.

Where two trainings are compared, a change that two trainings may show by luck is no change. How much they differ, a standard
deviation s, was estimated from n adapters, and t is Student's quantile at the threshold's alpha with n - 1 degrees of freedom: a
change for the worse is tolerated up to t s at least, and the 0 above becomes -t s.

A verdict depends on nothing but its two arguments. It cannot tell an exact value from a broken interval of no width, so a
measurement must never hand in a broken one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.analysis.power import n_to_resolve
from harness.data.measurement import Estimate, Measurement, Source, Spread
from harness.data.threshold import Threshold
from harness.data.verdict import Verdict

ROUNDING = 1e-4
"""Differences of no more than this are rounding, in every unit of the suite: two runs in float32 differ by less, and a real effect of that
size would be of no use. An interval that stays within it of a bound of superiority says nothing."""
MORE_OF: dict[Source, str] = {
    "seeds": "trainings differ from seed to seed, so more seeds would narrow it and more scenarios hardly",
    "samples": "it has all scenarios that exist, so more samples of each would narrow it (--profile full)",
}
"""What would narrow an interval whose width scenarios do not set."""


def verdict_on(measurement: Measurement, threshold: Threshold | None) -> Verdict:
    """The verdict on `measurement`; without a threshold it is a finding: settled where it has an answer or a number."""
    if measurement.not_applicable:
        reason = measurement.reason or "no reason was given"
        return Verdict("not_applicable", measurement.answer or "not applicable", f"{measurement.id} does not apply: {reason}.")
    estimate = measurement.estimate
    if estimate is not None:
        broken = _unusable(estimate)
        if broken is not None:
            return _unmeasured(measurement, broken)
    if threshold is None or threshold.kind == "finding" or threshold.expect is not None:
        return _finding(measurement, threshold)
    if estimate is None:
        return _unmeasured(measurement, measurement.reason or "no estimate, and no reason was given")
    exact = estimate.low == estimate.high == estimate.low_alpha == estimate.high_alpha
    if not exact and estimate.alpha > threshold.alpha * (1 + 1e-9):
        message = (
            f"{measurement.id} was measured with an interval at alpha {estimate.alpha:g}, the threshold asks for {threshold.alpha:g}: "
            "the experiment does not read its alpha from thresholds.toml."
        )
        return Verdict("error", answer_of(measurement), message)
    return _compared(measurement, estimate, threshold)


def answer_of(measurement: Measurement) -> str:
    """The answer in words, else the number with its unit, else a dash."""
    if measurement.answer is not None:
        return measurement.answer
    if measurement.estimate is None or not math.isfinite(measurement.estimate.value):
        return "-"
    return f"{measurement.estimate.value:.3g} {measurement.unit}".strip()


def describe(threshold: Threshold | None) -> str:
    """The threshold as one short phrase for tables."""
    if threshold is None:
        return "-"
    if threshold.at_least is not None:
        return f"≥ {threshold.at_least:g}"
    if threshold.at_most is not None:
        return f"≤ {threshold.at_most:g}"
    if threshold.margin is not None:
        return f"≥ {-threshold.margin:g}" if threshold.worse == "lower" else f"≤ {threshold.margin:g}"
    if threshold.expect is not None:
        return f"= {threshold.expect}"
    return "-" if threshold.smallest is None else f"none < {threshold.smallest:.0%}"


@dataclass(frozen=True)
class _Rising:
    """The comparison turned so that more is better, in the check's unit."""

    value: float
    low: float
    """Lower end of the 95 % interval."""
    high: float
    """Upper end of the 95 % interval."""
    high_alpha: float
    """Upper end of the interval at the threshold's alpha."""
    pass_above: float
    """It passes where `low` lies above this bound."""
    fail_below: float
    """It fails where `high_alpha` lies below this bound."""

    @property
    def outcome(self) -> str:
        exact = self.low == self.high == self.high_alpha
        if self.low > self.pass_above or (exact and self.low == self.pass_above):
            return "pass"
        return "fail" if self.high_alpha < self.fail_below else "inconclusive"

    def n_to_resolve(self, n: int) -> int | None:
        """Scenarios at which the interval would clear the nearer bound, if it shrank with the root of n around the same value."""
        if self.value > self.pass_above:
            distance, half_width = self.value - self.pass_above, self.value - self.low
        else:
            distance, half_width = self.fail_below - self.value, self.high_alpha - self.value
        return n_to_resolve(distance, half_width, n) if half_width > 0 and n > 0 else None


def noise_of(measurement: Measurement, threshold: Threshold) -> float:
    """The change for the worse, in the check's unit, that a share alpha of all pairs of trainings on the same data exceeds.

    0 where no two trainings are compared, or their seed-to-seed spread is not known. A further difference over its estimated deviation is
    distributed as Student's t with adapters − 1 degrees of freedom, so this is a prediction limit.
    """
    spread = measurement.spread
    if spread is None:
        return 0.0
    from scipy import stats  # here: only verdicts between trainings need it, and --help should not wait for it

    return float(stats.t.isf(threshold.alpha, spread.adapters - 1)) * spread.deviation


def _rising(estimate: Estimate, threshold: Threshold, noise: float) -> _Rising:
    if threshold.margin is not None:
        pass_above, fail_below = min(-threshold.margin, -noise), min(0.0, -noise)
    elif threshold.at_most is not None:
        pass_above = fail_below = min(-threshold.at_most, -noise) if noise else -threshold.at_most
    else:
        assert threshold.at_least is not None
        pass_above = fail_below = min(threshold.at_least, -noise) if noise else threshold.at_least
        if threshold.smallest is not None:
            fail_below = threshold.smallest
    if threshold.falls:
        return _Rising(-estimate.value, -estimate.high, -estimate.low, -estimate.low_alpha, pass_above, fail_below)
    return _Rising(estimate.value, estimate.low, estimate.high, estimate.high_alpha, pass_above, fail_below)


def _compared(measurement: Measurement, estimate: Estimate, threshold: Threshold) -> Verdict:
    noise = noise_of(measurement, threshold)
    rising = _rising(estimate, threshold, noise)
    answer = answer_of(measurement)
    number = f"{measurement.id} is {estimate.value:.3g} [{estimate.low:.3g}, {estimate.high:.3g}] {measurement.unit}".rstrip()
    wanted = _wanted(threshold, noise, measurement.spread)
    small = threshold.smallest is not None and estimate.high_alpha < threshold.smallest
    less = f", but less than the {threshold.smallest:g} that would matter" if small else ""
    if threshold.margin is None and threshold.smallest is None and _is_rounding(estimate, threshold):
        return _unmeasured(measurement, f"{number} differs from its bound by no more than rounding: nothing is there to be measured")
    if rising.outcome == "pass" and is_proven_loss(measurement, estimate, threshold):
        todo = "a loss is proven, though it is tolerated: look at it before you accept this cycle"
        return Verdict("pass", answer, f"{number}, {wanted}, but {todo}.", proven_loss=True)
    if rising.outcome == "pass":
        return Verdict("pass", answer, f"{number}, {wanted}{less}: nothing to do.")
    if rising.outcome == "fail":
        at_alpha = f"[{estimate.low_alpha:.3g}, {estimate.high_alpha:.3g}] at alpha {estimate.alpha:g}"
        todo = (
            "keep the last accepted cycle and look at the scenarios that moved most"
            if threshold.kind == "gate"
            else "find out why, then write what is expected of this subject, with the reason, into thresholds.toml"
        )
        return Verdict("fail", answer, f"{number}, {at_alpha}{less.replace(', but', ',')}, but should be {wanted}: {todo}.")
    needed, todo = _to_resolve(measurement, estimate, rising)
    return Verdict("inconclusive", answer, f"{number}, shown neither to be {wanted} nor the contrary: {todo}.", needed)


def is_proven_loss(measurement: Measurement, estimate: Estimate, threshold: Threshold) -> bool:
    """Whether the whole 95 % interval lies on the worse side of what it is where nothing changed."""
    unchanged = 0.0 if measurement.unchanged is None and threshold.margin is not None else measurement.unchanged
    if unchanged is None:
        return False
    return estimate.low > unchanged if threshold.falls else estimate.high < unchanged


def _is_rounding(estimate: Estimate, threshold: Threshold) -> bool:
    """Whether an interval that has a width lies within rounding of a bound of superiority."""
    bound = threshold.at_most if threshold.at_least is None else threshold.at_least
    return bound is not None and estimate.low < estimate.high and max(abs(estimate.low - bound), abs(estimate.high - bound)) <= ROUNDING


def _to_resolve(measurement: Measurement, estimate: Estimate, rising: _Rising) -> tuple[int | None, str]:
    """How many scenarios would settle it, where scenarios would, and the same in words. More than exist are not promised."""
    if estimate.limited_by in MORE_OF:
        return None, f"{MORE_OF[estimate.limited_by]} (now {estimate.n} scenarios)"
    if measurement.stepwise:
        return None, f"more scenarios or seeds would narrow it, how many cannot be said (now {estimate.n} scenarios)"
    needed = rising.n_to_resolve(estimate.n)
    if needed is None:
        return None, "more scenarios alone will hardly settle it"
    if measurement.available is not None and needed > measurement.available:
        return None, f"about {needed} scenarios would be needed (now {estimate.n}), and {measurement.available} exist"
    return needed, f"about {needed} scenarios would settle it (now {estimate.n})"


def _wanted(threshold: Threshold, noise: float, spread: Spread | None) -> str:
    seeds = f" (or than the {noise:.3g} that one in {1 / threshold.alpha:.0f} {spread.trainings} shows)" if spread and noise else ""
    if threshold.at_least is not None:
        return f"above the {threshold.at_least:g} it needs{seeds}"
    if threshold.at_most is not None:
        return f"below the {threshold.at_most:g} it may reach{seeds}"
    return f"no more than {threshold.margin:g} {threshold.worse} than before{seeds}"


def _finding(measurement: Measurement, threshold: Threshold | None) -> Verdict:
    answer = answer_of(measurement)
    if measurement.answer is None and (measurement.estimate is None or measurement.reason is not None):
        return _unmeasured(measurement, measurement.reason or "the data do not tell the answers apart")
    expected = None if threshold is None else threshold.expect
    reason = f" ({measurement.reason})" if measurement.reason else ""
    if expected is None:
        return Verdict("settled", answer, f"{measurement.id} is settled: {answer}{reason}; nothing rests on it.")
    if answer == expected:
        return Verdict("pass", answer, f"{measurement.id} is {answer}{reason}, as expected: nothing to do.")
    message = (
        f"{measurement.id} is {answer}{reason}, expected was {expected}: find out why, or write the new expectation into thresholds.toml."
    )
    return Verdict("fail", answer, message)


def _unmeasured(measurement: Measurement, reason: str) -> Verdict:
    return Verdict("inconclusive", answer_of(measurement), f"{measurement.id} has no answer: {reason.rstrip('.')}.")


def _unusable(estimate: Estimate) -> str | None:
    """Why an estimate can be the ground of no verdict; None where it can."""
    if estimate.n < 1:
        return "nothing was measured (n = 0)"
    numbers = ("value", "low", "high", "low_alpha", "high_alpha")
    bad = [name for name in numbers if not math.isfinite(getattr(estimate, name))]
    if bad:
        return f"not a finite number: {', '.join(f'{name} is {getattr(estimate, name)}' for name in bad)}"
    if estimate.low > estimate.high or estimate.low_alpha > estimate.high_alpha:
        return f"the interval is upside down: [{estimate.low:.3g}, {estimate.high:.3g}]"
    return None
