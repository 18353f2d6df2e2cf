"""What calibration needs of preflight: whether a subject is live and finite. Checks that do not depend on the candidate are left out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from evals.calibrated import Arrays, Calibrated, MeasuredSubject, Meeting, Sampling
from evals.preflight.checks import of_candidate
from evals.preflight.design import ADAPTER_IS_LIVE, FINITE, HANDFUL, UNITS
from harness.analysis.estimated import Estimated
from harness.data.arrays import Floats
from harness.data.measurement import Estimate, Measurement
from harness.data.subject import Subject


@dataclass(frozen=True)
class _Preflight:
    needs: tuple[str, ...] = ()
    stream: int = 22
    """Nothing is drawn from it."""
    by_scenario: tuple[str, ...] = ()

    def data(self) -> Sequence[Any]:
        return ()

    def common(self, sampling: Sampling) -> Arrays:
        return {}

    def record(self, sampling: Sampling, common: Arrays, subject: Subject) -> Arrays:
        """`live`: largest change of a log-probability against base, nats, NaN where one is not finite. `bad`: values not finite."""
        live, finite = of_candidate(replace(sampling.lab, candidate=subject))
        assert finite.estimate is not None
        return {"live": np.array(math.nan if live.estimate is None else live.estimate.value), "bad": np.array(float(finite.estimate.value))}

    def values(self, one: MeasuredSubject) -> Mapping[str, Floats]:
        return {}

    def noise(self, one: MeasuredSubject) -> Mapping[str, float]:
        return {}

    def measure(self, meeting: Meeting, rng: np.random.Generator) -> Iterator[Measurement]:
        for id, name in ((ADAPTER_IS_LIVE, "live"), (FINITE, "bad")):
            value = float(meeting.candidate.arrays[name])
            exact = Estimated(Estimate.exact(value, HANDFUL, meeting.alpha(id)))
            found = exact if math.isfinite(value) else Estimated(None, "some log-probabilities are not finite")
            yield meeting.measurement(id, UNITS[id], found)


CALIBRATED: Calibrated = _Preflight()


def changes_nothing(arrays: Arrays) -> bool:
    """Whether a subject has base's log-probabilities to the last bit, by what `record` returned of it."""
    return float(arrays["live"]) == 0
