"""Preflight's measurements: five of inputs and engines, none of behavior.

A candidate that changes no log-probability is not live: an adapter that the engine ignores would look like a perfect "no change". A
candidate with base's digest is base itself, and the question whether it is live does not apply.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from evals.preflight.design import ADAPTER_IS_LIVE, DATA, ENGINES_AGREE, FINITE, HANDFUL, JUDGE, UNITS
from harness.analysis.proportions import share_interval
from harness.behaviors.checks import check_behavior
from harness.data.errors import AdapterIgnored, EngineDied
from harness.data.measurement import Estimate, Measurement
from harness.data.subject import Subject
from harness.engines.made_with import made_with
from harness.engines.protocol import Completion, Scored, score
from harness.experiment.lab import Lab
from harness.experiment.profile import domains_of
from harness.judges.anchors import DIGEST, NAME
from harness.judges.chosen import judge_for
from harness.judges.judge import JudgeError
from harness.judges.reliability import Held, reliability
from harness.readouts.forced_choice import completions_of
from harness.readouts.parity import largest_gap
from harness.store import digest_of
from harness.subjects.files import ADAPTER_WEIGHTS, tensor_files
from harness.subjects.finite import not_finite


@dataclass(frozen=True)
class Handful:
    """The same few completions scored by base and by what is tested."""

    tested: Subject
    """The candidate; without one, the suite's own trained arm."""
    completions: Sequence[Completion]
    """Both sides of every pair: 2 · HANDFUL."""
    before: list[Scored]
    """Base's scores, one a completion."""
    after: list[Scored]
    """The tested subject's scores; base's where the engine ignores the adapter."""
    ignored: str | None
    """Why the engine ignores the adapter; None where it does not."""


def measure(lab: Lab) -> tuple[Measurement, ...]:
    """All preflight measurements of one behavior; where the engine died, the three that need it say so and the others stand."""
    try:
        scored = score_handful(lab)
        of_engine: tuple[Measurement, ...] = (adapter_is_live(lab, scored), engines_agree(lab, scored), finite(lab, scored))
    except EngineDied as died:
        of_engine = tuple(lab.measurement(id, UNITS[id], reason=str(died)) for id in (ADAPTER_IS_LIVE, ENGINES_AGREE, FINITE))
    return (*of_engine, data(lab), judge(lab))


def of_candidate(lab: Lab) -> tuple[Measurement, Measurement]:
    """`preflight.adapter_is_live` and `preflight.finite`, the two that depend on the candidate. EngineDied where the engine ends."""
    scored = score_handful(lab)
    return adapter_is_live(lab, scored), finite(lab, scored)


def score_handful(lab: Lab) -> Handful:
    """Scores with the engine of the run."""
    tested = lab.candidate or lab.trained_arm().subject
    completions = completions_of(lab.pairs("test")[:HANDFUL])
    before = _scores(lab, lab.base, completions)
    try:
        return Handful(tested, completions, before, _scores(lab, tested, completions), None)
    except AdapterIgnored as error:
        return Handful(tested, completions, before, before, str(error))


def _scores(lab: Lab, subject: Subject, completions: Sequence[Completion]) -> list[Scored]:
    """Scores of one subject. A stored one could hide a broken engine: so vLLM is always asked, and what transformers said in this process
    counts only while processor, libraries and the suite's own code are those that said it.
    """
    engine = lab.recordings.engine
    if engine is not lab.arms.engine:
        return score(engine, subject, completions)
    asked = digest_of([[[(m.role, m.content) for m in one.messages], one.text] for one in completions])

    def compute() -> list[dict[str, Any]]:
        scored = score(engine, subject, completions)
        return [{**asdict(one), "log_probabilities": one.log_probabilities.tolist()} for one in scored]

    rows = lab.store.json("handfuls", lab.recordings.key(subject, completions=asked, made_with=made_with()), compute)
    return [Scored(tuple(row["tokens"]), np.array(row["log_probabilities"]), tuple(map(tuple, row["offsets"]))) for row in rows]


def adapter_is_live(lab: Lab, scored: Handful) -> Measurement:
    """The largest change of a token's log-probability against base."""
    id, unit = ADAPTER_IS_LIVE, UNITS[ADAPTER_IS_LIVE]
    before, after = scored.before, scored.after
    if scored.tested.digest == lab.base.digest:
        return lab.measurement(id, unit, reason="the candidate has the base's digest: they are the same weights", not_applicable=True)
    if not all(np.isfinite(one.log_probabilities).all() for one in (*before, *after)):
        return lab.measurement(id, unit, reason="some log-probabilities are not finite: there is no difference to take")
    change = max(float(np.abs(a.log_probabilities - b.log_probabilities).max()) for a, b in zip(after, before, strict=True))
    return lab.measurement(id, unit, Estimate.exact(change, len(before), lab.alpha(id)), answer=scored.ignored)


def engines_agree(lab: Lab, scored: Handful) -> Measurement:
    """The largest gap to the transformers engine, over base and what is tested; does not apply where that is the only engine."""
    id, unit, hf = ENGINES_AGREE, UNITS[ENGINES_AGREE], lab.arms.engine
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


def finite(lab: Lab, scored: Handful) -> Measurement:
    """How many log-probabilities and how many weights of what is tested are NaN or infinite."""
    tested, after = scored.tested, scored.after
    bad = sum(int((~np.isfinite(one.log_probabilities)).sum()) for one in after)
    if tested.digest != lab.base.digest:
        for file in [tested.adapter / ADAPTER_WEIGHTS] if tested.adapter else tensor_files(tested.base):
            bad += sum(not_finite(file, lab.store).values())
    return lab.measurement(FINITE, UNITS[FINITE], Estimate.exact(bad, len(after), lab.alpha(FINITE)))


def data(lab: Lab) -> Measurement:
    """Number of failed checks of the behavior's pairs; the null says what each check found."""
    findings = check_behavior(lab.behavior)
    wrong = [finding for finding in findings if not finding.ok]
    null = {"checks": [f"{finding.name}: {finding.text}" for finding in findings]}
    return lab.measurement(DATA, UNITS[DATA], Estimate.exact(len(wrong), len(findings), lab.alpha(DATA)), null=null)


def judge(lab: Lab) -> Measurement:
    """The share of held-out replies that the judge labels right: of all kinds together, or of the worst kind where one misses the bar.

    The kinds are completions of either side and the contrasts made of them; each is a row of the series.
    """
    try:
        chosen = judge_for(lab.settings, lab.behavior, lab.store)
        found, rests_on = reliability(chosen, lab.behavior), {NAME: chosen.name, DIGEST: chosen.digest}
        rows = [_right(each.kind, (each,), lab.alpha(JUDGE) / len(found.held)) for each in found.held]
        missed = found.missed(lab.threshold(JUDGE).at_least or 0.0)
        name, estimate = next(row for row in rows if row[0] == missed[0].kind) if missed else _right("", found.held, lab.alpha(JUDGE))
    except (ValueError, JudgeError) as error:
        return lab.measurement(JUDGE, UNITS[JUDGE], reason=str(error))
    unit = f"share right of {name} replies" if name else UNITS[JUDGE]
    series = [{"cell": kind, "estimate": each.value, "low": each.low, "high": each.high, "n": each.n} for kind, each in rows]
    null = {"kind": "guessing", "value": 0.5, "judge": found.judge}
    return lab.measurement(JUDGE, unit, estimate, null=null, series=series, rests_on=rests_on)


def _right(name: str, held: Sequence[Held], alpha: float) -> tuple[str, Estimate]:
    """The name with the share of right labels, over domains of scenarios."""
    return name, share_interval(
        np.concatenate([each.right for each in held]), np.concatenate([domains_of(each.pairs) for each in held]), alpha
    )
