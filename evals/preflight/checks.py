"""Preflight: is the instrument fit to judge anything? Five measurements of inputs and engines, none of behavior.

A candidate that does not change the log-probabilities is not live (an adapter the engine ignores looks like a perfect
"no change"); a candidate with the base's digest is a proven no-change, and the question does not apply.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from safetensors import safe_open

from harness.analysis.proportions import exact_interval
from harness.behaviors.checks import check_behavior
from harness.data.errors import AdapterIgnored, EngineDied
from harness.data.measurement import Estimate, Measurement
from harness.data.subject import Subject
from harness.engines.protocol import Completion, Scored, score
from harness.experiment.lab import Lab
from harness.judges.chosen import judge_for
from harness.judges.judge import JudgeError, held_out_accuracy
from harness.readouts.forced_choice import completions_of
from harness.readouts.parity import largest_gap

HANDFUL = 8
"""Pairs that are scored to see whether a candidate is live and finite."""


@dataclass(frozen=True)
class _Handful:
    """A handful of completions scored by base and by what is tested."""

    tested: Subject
    completions: Sequence[Completion]
    before: list[Scored]
    after: list[Scored]
    """Base's where the engine ignores the adapter."""
    ignored: str | None
    """Why the engine ignores the adapter."""


def _handful(lab: Lab) -> _Handful:
    tested = lab.candidate or lab.trained_arm().subject
    completions = completions_of(lab.pairs("test")[:HANDFUL])
    before = score(lab.recordings.engine, lab.base, completions)
    try:
        return _Handful(tested, completions, before, score(lab.recordings.engine, tested, completions), None)
    except AdapterIgnored as error:
        return _Handful(tested, completions, before, before, str(error))


def measure(lab: Lab) -> tuple[Measurement, ...]:
    """All preflight measurements of one behavior; an engine that died takes only those along that need it."""
    try:
        scored = _handful(lab)
        of_engine: tuple[Measurement, ...] = (_live(lab, scored), _engines_agree(lab, scored), _finite(lab, scored))
    except EngineDied as died:
        units = {"preflight.adapter_is_live": "nats", "preflight.engines_agree": "nats per token", "preflight.finite": "values"}
        of_engine = tuple(lab.measurement(id, unit, reason=str(died)) for id, unit in units.items())
    return (*of_engine, _data(lab), _judge(lab))


def of_candidate(lab: Lab) -> tuple[Measurement, Measurement]:
    """`preflight.adapter_is_live` and `preflight.finite`: those that depend on the candidate."""
    scored = _handful(lab)
    return _live(lab, scored), _finite(lab, scored)


def _live(lab: Lab, scored: _Handful) -> Measurement:
    id, unit = "preflight.adapter_is_live", "nats"
    before, after = scored.before, scored.after
    if scored.tested.digest == lab.base.digest:
        return lab.measurement(id, unit, reason="the candidate has the base's digest: they are the same weights", not_applicable=True)
    if not all(np.isfinite(one.log_probabilities).all() for one in (*before, *after)):
        return lab.measurement(id, unit, reason="some log-probabilities are not finite: there is no difference to take")
    change = max(float(np.abs(a.log_probabilities - b.log_probabilities).max()) for a, b in zip(after, before, strict=True))
    return lab.measurement(id, unit, Estimate.exact(change, len(before), lab.alpha(id)), answer=scored.ignored)


def _engines_agree(lab: Lab, scored: _Handful) -> Measurement:
    """The largest gap to the transformers engine, over base and what is tested."""
    id, unit, hf = "preflight.engines_agree", "nats per token", lab.arms.engine
    if lab.recordings.engine.name == hf.name:
        reason = "only one engine is used in this run: there is nothing to compare hf with"
        return lab.measurement(id, unit, reason=reason, not_applicable=True)
    if scored.ignored is not None:
        return lab.measurement(id, unit, reason=scored.ignored)
    if (missing := hf.lacks_room(lab.base)) is not None:
        return lab.measurement(id, unit, reason=f"the engines were not compared: {missing}", not_applicable=True)
    both = {lab.base: scored.before, scored.tested: scored.after}
    gaps = {subject: largest_gap(ours, score(hf, subject, scored.completions)) for subject, ours in both.items()}
    rows = [{"cell": subject.name, "estimate": gap} for subject, gap in gaps.items()]
    return lab.measurement(id, unit, Estimate.exact(max(gaps.values()), len(scored.completions), lab.alpha(id)), series=rows)


def _finite(lab: Lab, scored: _Handful) -> Measurement:
    id = "preflight.finite"
    tested, after = scored.tested, scored.after
    bad = sum(int((~np.isfinite(one.log_probabilities)).sum()) for one in after)
    folder = tested.adapter or tested.base
    if tested.digest != lab.base.digest:
        for file in sorted(folder.glob("*.safetensors")):
            with safe_open(str(file), framework="pt") as tensors:
                bad += sum(int((~tensors.get_tensor(name).isfinite()).sum()) for name in tensors.keys())  # noqa: SIM118 (not a dict)
    return lab.measurement(id, "values", Estimate.exact(bad, len(after), lab.alpha(id)))


def _data(lab: Lab) -> Measurement:
    id = "preflight.data"
    findings = check_behavior(lab.behavior)
    wrong = [f"{finding.name}: {finding.text}" for finding in findings if not finding.ok]
    null = {"checks": [f"{finding.name}: {finding.text}" for finding in findings]}
    return lab.measurement(id, "failed checks", Estimate.exact(len(wrong), len(findings), lab.alpha(id)), null=null)


def _judge(lab: Lab) -> Measurement:
    id, unit = "preflight.judge", "share right"
    try:
        judge = judge_for(lab.settings, lab.behavior, lab.store)
        accuracy = held_out_accuracy(judge, lab.behavior)
    except (ValueError, JudgeError) as error:
        return lab.measurement(id, unit, reason=str(error))
    estimate = exact_interval(accuracy.right, accuracy.n, lab.alpha(id))
    return lab.measurement(id, unit, estimate, null={"kind": "guessing", "value": 0.5, "judge": judge.name})
