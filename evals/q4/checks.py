"""Q4's checks by id. Only here is a failure of an agent, of the judge or of an earlier cycle turned into the reason of a check.

So a failing agent makes its own checks inconclusive and no others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from evals.baseline import NotComparable
from evals.q4.design import DETECTION, DRIFT, FLAGGING, ID, REGRESSION, SELF_HEALING, SURFACING, UNITS
from evals.q4.detection import detection
from evals.q4.flagging import flagging
from evals.q4.judged_rate import judged_rate
from evals.q4.regression import drift, regression, why_no_drift
from evals.q4.self_healing import self_healing
from evals.q4.study import Study
from evals.q4.surfacing import surfacing
from harness.agents.agent import AgentError
from harness.data.measurement import Measurement
from harness.experiment.lab import Lab
from harness.judges.judge import JudgeError


def _or_reason(id: str, measure: Callable[[Study], Measurement]) -> Callable[[Study], Measurement]:
    """`measure`, or a measurement without an estimate that says why it could not be made."""

    def measured(study: Study) -> Measurement:
        try:
            return measure(study)
        except (AgentError, JudgeError, NotComparable) as failure:
            return study.lab.measurement(id, UNITS[id], reason=str(failure))

    return measured


MEASURES: Mapping[str, Callable[[Study], Measurement]] = {
    id: _or_reason(id, measure)
    for id, measure in (
        (REGRESSION, regression),
        (DRIFT, drift),
        (ID, judged_rate),
        (SURFACING, surfacing),
        (FLAGGING, flagging),
        (DETECTION, detection),
        (SELF_HEALING, self_healing),
    )
}


def known(lab: Lab, id: str) -> Measurement | None:
    """What needs no study: drift, where no cycle other than the accepted one is pinned."""
    reason = why_no_drift(lab) if id == DRIFT else None
    return None if reason is None else lab.measurement(id, UNITS[id], reason=reason, not_applicable=True)
