"""Q4's checks by id. Only here is a failure of an agent, of the judge or of an earlier cycle turned into the reason of a check.

So a failing agent makes its own checks inconclusive and no others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from evals.baseline import NotComparable
from evals.q4.design import DETECTION, DRIFT, FLAGGING, ID, LEARNED, REGRESSION, SELF_HEALING, SURFACING, UNITS, WORST_DOMAIN
from evals.q4.detection import detection
from evals.q4.flagging import flagging
from evals.q4.judged_rate import judged_rate
from evals.q4.learned import learned
from evals.q4.regression import drift, regression, why_no_drift
from evals.q4.self_healing import self_healing
from evals.q4.study import Study
from evals.q4.surfacing import surfacing
from evals.q4.worst_domain import worst_domain
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


OF_A_CANDIDATE = (REGRESSION, WORST_DOMAIN, LEARNED)
"""Checks that compare a candidate, and say nothing of the suite's own training."""
MEASURES: Mapping[str, Callable[[Study], Measurement]] = {
    id: _or_reason(id, measure)
    for id, measure in (
        (REGRESSION, regression),
        (DRIFT, drift),
        (ID, judged_rate),
        (WORST_DOMAIN, worst_domain),
        (LEARNED, learned),
        (SURFACING, surfacing),
        (FLAGGING, flagging),
        (DETECTION, detection),
        (SELF_HEALING, self_healing),
    )
}


def known(lab: Lab, id: str) -> Measurement | None:
    """What needs no study: what compares a candidate where there is none, and drift where the accepted cycle is pinned too."""
    reason = why_no_drift(lab) if id == DRIFT else None
    if id in OF_A_CANDIDATE and lab.candidate is None:
        reason = "there is no candidate: a training cannot have lost what it has just learned"
    return None if reason is None else lab.measurement(id, UNITS[id], reason=reason, not_applicable=True)
