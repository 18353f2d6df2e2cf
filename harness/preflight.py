"""Preflight: is the instrument fit to judge anything? Five measurements of inputs and engines, none of behavior.

A candidate that does not change the log-probabilities is not live (an adapter the engine ignores looks like a perfect
"no change"); a candidate with the base's digest is a proven no-change, and the question does not apply.
"""

from __future__ import annotations

import numpy as np
from safetensors import safe_open

from harness.analysis.proportions import exact_interval
from harness.data.behavior_checks import check_behavior
from harness.data.measurement import Estimate, Measurement
from harness.data.subject import Subject
from harness.engines.protocol import Scored
from harness.forced_choice import completions_of
from harness.judge import JudgeError, held_out_accuracy, judge_for
from harness.lab import Lab

HANDFUL = 8
"""Pairs that are scored to see whether a candidate is live and finite."""


def exact(value: float, n: int, alpha: float) -> Estimate:
    """A number without uncertainty: a count, or a difference of deterministic outputs."""
    return Estimate(value, value, value, value, value, alpha, n, n)


def measure(lab: Lab) -> tuple[Measurement, ...]:
    """All preflight measurements of one behavior."""
    live, finite = of_candidate(lab)
    return (live, _engines_agree(lab), finite, _data(lab), _judge(lab))


def of_candidate(lab: Lab) -> tuple[Measurement, Measurement]:
    """`preflight.adapter_is_live` and `preflight.finite`: those that depend on the candidate."""
    tested = lab.candidate or lab.trained_arm().subject
    pairs = lab.pairs("test")[:HANDFUL]
    before = lab.recordings.engine.score(lab.base, completions_of(pairs))
    after = lab.recordings.engine.score(tested, completions_of(pairs))
    return _live(lab, tested, before, after), _finite(lab, tested, after)


def _live(lab: Lab, tested: Subject, before: list[Scored], after: list[Scored]) -> Measurement:
    id, unit = "preflight.adapter_is_live", "nats"
    if tested.digest == lab.base.digest:
        return lab.measurement(id, unit, reason="the candidate has the base's digest: they are the same weights", not_applicable=True)
    if not all(np.isfinite(one.log_probabilities).all() for one in (*before, *after)):
        return lab.measurement(id, unit, reason="some log-probabilities are not finite: there is no difference to take")
    change = max(float(np.abs(a.log_probabilities - b.log_probabilities).max()) for a, b in zip(after, before, strict=True))
    return lab.measurement(id, unit, exact(change, len(before), lab.alpha(id)))


def _engines_agree(lab: Lab) -> Measurement:
    reason = "only one engine is installed in this run: there is nothing to compare hf with"
    return lab.measurement("preflight.engines_agree", "nats per token", reason=reason, not_applicable=True)


def _finite(lab: Lab, tested: Subject, after: list[Scored]) -> Measurement:
    id = "preflight.finite"
    bad = sum(int((~np.isfinite(one.log_probabilities)).sum()) for one in after)
    folder = tested.adapter or tested.base
    if tested.digest != lab.base.digest:
        for file in sorted(folder.glob("*.safetensors")):
            with safe_open(str(file), framework="pt") as tensors:
                bad += sum(int((~tensors.get_tensor(name).isfinite()).sum()) for name in tensors.keys())  # noqa: SIM118 (not a dict)
    return lab.measurement(id, "values", exact(bad, len(after), lab.alpha(id)))


def _data(lab: Lab) -> Measurement:
    id = "preflight.data"
    findings = check_behavior(lab.behavior)
    wrong = [f"{finding.name}: {finding.text}" for finding in findings if not finding.ok]
    null = {"checks": [f"{finding.name}: {finding.text}" for finding in findings]}
    return lab.measurement(id, "failed checks", exact(len(wrong), len(findings), lab.alpha(id)), null=null)


def _judge(lab: Lab) -> Measurement:
    id, unit = "preflight.judge", "share right"
    try:
        judge = judge_for(lab.settings, lab.behavior)
        accuracy = held_out_accuracy(judge, lab.behavior)
    except (ValueError, JudgeError) as error:
        return lab.measurement(id, unit, reason=str(error))
    estimate = exact_interval(accuracy.right, accuracy.n, lab.alpha(id))
    return lab.measurement(id, unit, estimate, null={"kind": "guessing", "value": 0.5, "judge": judge.name})
