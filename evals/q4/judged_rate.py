"""The behavior as it is said, not only as it is weighed: the share of sampled replies that the judge labels positive.

Log-odds of written completions can stay while what the model says of its own accord changes: of adapters whose judged rate truly fell by 20
points, one in fifteen lost so little log-odds that q4.regression let them pass (the calibration's table, before this gate).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from evals.baseline import NotComparable, accepted_cycle, earlier
from evals.q4 import plots
from harness.analysis.intervals import mean_interval
from harness.analysis.sample import DegenerateSample
from harness.arms.cycles import healthy
from harness.data.arrays import Flags, Floats, Names
from harness.data.behavior import Pair
from harness.data.errors import InputError
from harness.data.measurement import Estimate, Exhibit, Measurement
from harness.data.subject import Subject
from harness.experiment.lab import Lab
from harness.experiment.profile import domains_of
from harness.judges.judge import Judge, JudgeError, Label

ID, UNIT = "q4.judged_rate", "share of replies"
SAMPLES = 4
"""Replies sampled to every test scenario. Simulated on replies of 20 adapters trained alike, a fall of 20 points passed in 5 % of runs with
two samples or three, in none with four."""
SHOWN = 12
"""Scenarios whose replies are shown."""


def labels(lab: Lab, judge: Judge, subject: Subject, pairs: Sequence[Pair], seeds: Sequence[int]) -> list[list[Label]]:
    """The label of one sampled reply to every scenario, for each seed in turn."""
    prompts = [pair.messages for pair in pairs]
    return [judge.labels(prompts, texts) for texts in lab.recordings.replies_each(subject, prompts, seeds)]


def positive(labeled: Sequence[Sequence[Label]]) -> Flags:
    """Which replies were labeled positive, [samples, scenarios]."""
    return np.array([[label == "positive" for label in each] for each in labeled])


def change_of_rate(change: Floats, domains: Names, alpha: float, rng: np.random.Generator) -> tuple[Estimate | None, str | None]:
    """Mean of `change` [scenarios], a share of replies each, or why there is none."""
    if not change.any():
        return Estimate.exact(0.0, len(change), alpha), None
    try:
        return mean_interval(change, domains, alpha, rng), None
    except DegenerateSample as degenerate:
        return None, str(degenerate)


def judged_rate(lab: Lab, make_judge: Callable[[], Judge], pairs: tuple[Pair, ...]) -> Measurement:
    """The gate: the tested subject's rate minus the accepted cycle's (without one, base's), over the same scenarios and seeds."""
    cycle, ids = accepted_cycle(lab), [pair.id for pair in pairs]
    seeds = range(lab.settings.seed, lab.settings.seed + SAMPLES)
    try:
        judge = make_judge()
        tested = lab.candidate or healthy(lab.arms, lab.settings.seed)[0]
        lab.progress(f"q4 {lab.behavior.name}: {SAMPLES} replies to each of {len(pairs)} scenarios, judged by {judge.name}")
        labeled = labels(lab, judge, tested, pairs, seeds)
        after = positive(labeled).mean(axis=0)
        if cycle is None:
            before = positive(labels(lab, judge, lab.base, pairs, seeds)).mean(axis=0)
        else:
            before = earlier(lab, cycle, ID, ids).of(ids)
    except (InputError, JudgeError, NotComparable) as error:
        return lab.measurement(ID, UNIT, reason=str(error))
    against, change = f"cycle {cycle}" if cycle else "base", after - before
    estimate, reason = change_of_rate(change, domains_of(pairs), lab.alpha(ID), lab.rng(ID))
    said = np.array(labeled)
    rows = [
        {"cell": f"candidate {lab.candidate.name}" if lab.candidate else "trained arm", "estimate": float(after.mean())},
        {"cell": against, "estimate": float(before.mean())},
        *({"cell": f"labeled {label}", "estimate": float((said == label).mean())} for label in ("positive", "negative", "neither")),
    ]
    return lab.measurement(
        ID,
        UNIT,
        estimate,
        pairs=pairs,
        values=after,
        series=rows,
        reason=reason,
        null={"kind": f"{against}, the same scenarios and seeds; values by scenario are rates", "judge": judge.name, "replies": said.size},
        spread=lab.seed_spread(ID, change) if cycle else None,
        exhibits=[
            Exhibit("rate by domain", plots.rates_by_domain(lab, before, after, domains_of(pairs), against)),
            Exhibit("replies where the rate fell most", _transcripts(lab, tested, pairs, labeled, change, seeds)),
        ],
    )


def _transcripts(
    lab: Lab, tested: Subject, pairs: Sequence[Pair], labeled: Sequence[Sequence[Label]], change: Floats, seeds: Sequence[int]
) -> Path:
    replies = lab.recordings.replies_each(tested, [pair.messages for pair in pairs], seeds)
    blocks = []
    for i in np.argsort(change, kind="stable")[:SHOWN]:
        lines = [f"{pairs[i].id}: rate changed by {change[i]:+.2f}", *(f"{each.role}: {each.content}" for each in pairs[i].messages)]
        lines += [f"[{of_seed[i]}] {texts[i]}" for of_seed, texts in zip(labeled, replies, strict=True)]
        blocks.append("\n".join(lines))
    path = lab.exhibits / f"q4-judged-rate-{lab.behavior.name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n\n".join(blocks), encoding="utf-8")
    return path
