"""What calibration needs of Q4's gates: log-odds of every test pair, and how sampled replies were labeled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evals.calibrated import Arrays, Calibrated, MeasuredSubject, Meeting, Sampling, chance, drawn
from evals.q4.design import DRIFT, LIVE, REGRESSION, SAMPLES, UNITS, WORST_DOMAIN
from evals.q4.design import ID as JUDGED_RATE
from evals.q4.effect import share_of_effect, smaller
from evals.q4.judged_rate import change_of_rate, labels, positive
from evals.q4.worst_domain import lowest_share
from harness.analysis.estimated import Estimated
from harness.data.arrays import Flags, Floats
from harness.data.measurement import Measurement
from harness.data.subject import Subject
from harness.judges.embedded import RULES
from harness.judges.judge import Judge
from harness.judges.reliability import reliability
from harness.readouts.forced_choice import PRIMARY


@dataclass(frozen=True)
class _Q4:
    needs: tuple[str, ...] = LIVE
    stream: int = 21
    """calibration.json was made with this number; another would draw other samples."""
    by_scenario: tuple[str, ...] = ("shift", "positive")

    def data(self) -> Sequence[Any]:
        return (SAMPLES, RULES)

    def common(self, sampling: Sampling) -> Arrays:
        """`base-positive` [samples, test pairs]: replies of base labeled positive."""
        judge = sampling.judge
        return {} if judge is None else {"base-positive": _positive(sampling, judge, sampling.lab.base)}

    def record(self, sampling: Sampling, common: Arrays, subject: Subject) -> Arrays:
        """`shift` [test pairs]: log-odds above base's, nats. `positive` [samples, test pairs]: replies labeled positive. `youden`
        [test pairs]: what each contributes to the judge's sensitivity + specificity − 1.
        """
        lab, judge = sampling.lab, sampling.judge
        shift = lab.shift(subject, lab.behavior.split("test")).metric(PRIMARY)
        if judge is None:
            return {"shift": shift}
        youden = reliability(judge, lab.behavior).youden(lab.behavior.split("test"))
        return {"shift": shift, "positive": _positive(sampling, judge, subject), "youden": youden}

    def values(self, one: MeasuredSubject) -> Mapping[str, Floats]:
        """Drift is the same comparison as regression, with another cycle."""
        shift: Floats = one.arrays["shift"]
        if "positive" not in one.arrays:
            return {REGRESSION: shift, DRIFT: shift}
        rate = one.arrays["positive"].mean(axis=0) / one.arrays["youden"].mean()
        return {REGRESSION: shift, DRIFT: shift, JUDGED_RATE: np.asarray(rate)}

    def noise(self, one: MeasuredSubject) -> Mapping[str, float]:
        if "positive" not in one.arrays:
            return {}
        return {JUDGED_RATE: chance(one.arrays["positive"]) / float(one.arrays["youden"].mean()) ** 2}

    def measure(self, meeting: Meeting, rng: np.random.Generator) -> Iterator[Measurement]:
        yield _regression(meeting)
        yield _judged_rate(meeting, rng)
        yield _worst_domain(meeting, rng)


def _positive(sampling: Sampling, judge: Judge, subject: Subject) -> Flags:
    """Which replies were labeled positive, [samples, test pairs]."""
    lab = sampling.lab
    return positive(labels(lab, judge, subject, lab.behavior.split("test"), sampling.seeds(SAMPLES)))


def _change_and_effect(meeting: Meeting) -> tuple[Floats, Floats]:
    """What the candidate changed and what counts as 1, both [test pairs] in nats."""
    before = None if meeting.accepted is None else meeting.accepted.arrays["shift"]
    after: Floats = meeting.candidate.arrays["shift"]
    return after if before is None else np.asarray(after - before), smaller(meeting.reference.arrays["shift"], before)


def _regression(meeting: Meeting) -> Measurement:
    change, effect = _change_and_effect(meeting)
    found = share_of_effect(change, effect, meeting.domains, meeting.alpha(REGRESSION))
    return meeting.measurement(REGRESSION, UNITS[REGRESSION], found, spread=meeting.spread(REGRESSION, float(effect.mean())))


def _worst_domain(meeting: Meeting, rng: np.random.Generator) -> Measurement:
    change, effect = _change_and_effect(meeting)
    _, found = lowest_share(change, effect, meeting.domains, meeting.alpha(WORST_DOMAIN), rng)
    return meeting.measurement(WORST_DOMAIN, UNITS[WORST_DOMAIN], found)


def _judged_rate(meeting: Meeting, rng: np.random.Generator) -> Measurement:
    if "base-positive" not in meeting.common:
        return meeting.measurement(JUDGED_RATE, UNITS[JUDGED_RATE], Estimated(None, "no replies were sampled"), not_applicable=True)
    before = meeting.common["base-positive"] if meeting.accepted is None else meeting.accepted.arrays["positive"]
    change = drawn(meeting.candidate.arrays["positive"], SAMPLES, rng) - drawn(before, SAMPLES, rng)
    youden: Floats = meeting.candidate.arrays["youden"]
    found = change_of_rate(change, youden, meeting.domains, meeting.alpha(JUDGED_RATE), rng)
    return meeting.measurement(JUDGED_RATE, UNITS[JUDGED_RATE], found, spread=meeting.spread(JUDGED_RATE))


CALIBRATED: Calibrated = _Q4()
