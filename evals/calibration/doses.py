"""The dose of counter-examples after which a good adapter's judged rate has truly fallen by k points.

A rate is the share of sampled replies that the behavior's judge labels positive, over every test scenario and enough seeds that there are
at least a thousand replies. The log-odds on dev pairs say where to look; what counts is the measured fall. Doses are whole training steps,
so a fall of exactly k is not always to be had: the nearest measured one is taken, over several orders of the counter-examples where the
first has none, and called a k-point plant only where it is within TOLERANCE of k (the standard error of a fall is about two points).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from evals.q4.judged_rate import labels, positive
from harness.arms.cycles import counter_examples
from harness.data.behavior import Pair
from harness.data.subject import Subject
from harness.experiment.lab import Lab
from harness.experiment.profile import across_domains
from harness.judges.judge import Judge
from harness.readouts.forced_choice import PRIMARY

REPLIES = 1000
"""Sampled replies a rate rests on, at least."""
STEPS = tuple(range(3, 11))
"""Training steps of four counter-examples after which the adapter is kept."""
FINE = tuple(range(1, 11))
"""Training steps at which a share of the effect may be lost: small shares are lost early."""
TOLERANCE = 0.03
TRIES = 3
"""Doses measured for one k, at most."""
ORDERS = 3
"""Orders of the counter-examples tried, one after the other, until a dose is within TOLERANCE."""
DEV_PAIRS = 30
ONSET, NATS = 0.22, 1.8
"""Where the search starts: a fall of k is expected at ONSET + NATS k nats lost on dev pairs, and from then on in proportion to what was
measured. What counts is what is measured there."""


@dataclass(frozen=True)
class Dosed:
    """A good adapter after counter-examples."""

    subject: Subject
    steps: int
    """Training steps of four counter-examples."""
    fall: float
    """Fall of the judged rate, as a share of replies: what was measured, not what was wanted."""


def judged_rate(lab: Lab, judge: Judge, subject: Subject) -> float:
    """Share of at least REPLIES sampled replies to the test scenarios that are labeled positive."""
    pairs = lab.behavior.split("test")
    return float(positive(labels(lab, judge, subject, pairs, range(math.ceil(REPLIES / len(pairs))))).mean())


def dose(lab: Lab, judge: Judge, good: Subject, seed: int, k: float) -> Dosed:
    """The dose whose measured fall is nearest to `k`, among those tried."""
    dev = across_domains(lab.behavior.split("dev"), DEV_PAIRS)
    whole, before = float(lab.shift(good, dev).metric(PRIMARY).mean()), judged_rate(lab, judge, good)

    def of(order: int) -> Dosed:
        subjects = counter_examples(lab.arms, seed, STEPS, order)
        lost = {step: whole - float(lab.shift(subject, dev).metric(PRIMARY).mean()) for step, subject in subjects.items()}
        step, fall = nearest(k, lost, lambda step: before - judged_rate(lab, judge, subjects[step]))
        return Dosed(subjects[step], step, fall)

    best = of(0)
    for order in range(1, ORDERS):
        if abs(best.fall - k) <= TOLERANCE:
            break
        best = min(best, of(order), key=lambda one: abs(one.fall - k))
    return best


def share_lost(lab: Lab, good: Subject, seed: int, share: float) -> tuple[Subject, float]:
    """The adapter after the dose of counter-examples whose log-odds on dev pairs fell nearest to `share` of the good one's effect.

    With it the share of the effect on test pairs that it truly lost; nothing was chosen by that.
    """
    dev, test = lab.behavior.split("dev"), lab.behavior.split("test")

    def level(subject: Subject, pairs: Sequence[Pair]) -> float:
        return float(lab.shift(subject, pairs).metric(PRIMARY).mean())

    whole, best = level(good, dev), (good, 0.0)
    for order in range(ORDERS):
        tried = [(one, 1 - level(one, dev) / whole) for one in counter_examples(lab.arms, seed, FINE, order).values()]
        best = min((best, *tried), key=lambda one: abs(one[1] - share))
        if abs(best[1] - share) <= TOLERANCE:
            break
    return best[0], 1 - level(best[0], test) / level(good, test)


def nearest(k: float, lost: Mapping[int, float], fall: Callable[[int], float]) -> tuple[int, float]:
    """The step whose fall is nearest to `k` among at most TRIES that are measured, and that fall; `lost` [nats] says where to look."""
    steps, wanted, measured = sorted(lost), ONSET + NATS * k, dict[int, float]()
    for _ in range(TRIES):
        untried = [step for step in steps if step not in measured]
        if not untried:
            break
        at = min(untried, key=lambda step: abs(lost[step] - wanted))
        measured[at] = fall(at)
        if abs(measured[at] - k) <= TOLERANCE:
            break
        rising = measured[at] > 0 and lost[at] > ONSET
        wanted = ONSET + (lost[at] - ONSET) * k / measured[at] if rising else lost[at] + NATS * k
    best = min(measured, key=lambda step: abs(measured[step] - k))
    return best, measured[best]
