"""The behavior as it is said, not only as it is weighed: the share of sampled replies that the judge labels positive.

Log-odds of written completions can stay while what the model says of its own accord changes: of adapters whose judged rate truly fell by 20
points, one in fifteen lost so little log-odds that q4.regression let them pass (the calibration's table, before this gate). The judge
cannot say whether a promise in a reply is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from evals.baseline import accepted_cycle, earlier
from evals.q4 import exhibits
from evals.q4.design import ID, SAMPLES, UNIT
from evals.q4.study import Study
from harness.analysis.estimated import Estimated, estimated
from harness.analysis.intervals import mean_interval
from harness.arms.cycles import healthy
from harness.data.arrays import Flags, Floats, Names
from harness.data.behavior import Pair
from harness.data.measurement import Estimate, Level, Measurement
from harness.data.subject import Subject
from harness.engines.protocol import MOST_TOKENS, TEMPERATURE
from harness.experiment.lab import Lab
from harness.experiment.profile import domains_of
from harness.judges.judge import Judge, Label


def judged_rate(study: Study) -> Measurement:
    """The tested subject's rate minus the accepted cycle's (without one, base's), over the same scenarios and seeds.

    JudgeError where the judge gives no answer, NotComparable where the accepted cycle was measured on other data.
    """
    lab, pairs, judge = study.lab, study.every_pair, study.judge()
    cycle, ids = accepted_cycle(lab), [pair.id for pair in pairs]
    seeds = range(lab.settings.seed, lab.settings.seed + SAMPLES)
    tested = lab.candidate or healthy(lab.arms, lab.settings.seed)[0]
    study.say(f"{SAMPLES} replies to each of {len(pairs)} scenarios, judged by {judge.name}")
    labeled = labels(lab, judge, tested, pairs, seeds)
    after = positive(labeled).mean(axis=0)
    rests_on = judged_by(judge)
    before = earlier(lab, cycle, ID, ids, rests_on).of(ids) if cycle else positive(labels(lab, judge, lab.base, pairs, seeds)).mean(axis=0)
    against, change = f"cycle {cycle}" if cycle else "base", after - before
    said = np.array(labeled)
    rows = [
        {"cell": f"candidate {lab.candidate.name}" if lab.candidate else "trained arm", "estimate": float(after.mean())},
        {"cell": against, "estimate": float(before.mean())},
        *({"cell": f"labeled {label}", "estimate": float((said == label).mean())} for label in ("positive", "negative", "neither")),
    ]
    replies = study.conversations_each(tested, pairs, seeds)
    return lab.measurement(
        ID,
        UNIT,
        change_of_rate(change, domains_of(pairs), lab.alpha(ID), lab.rng(ID)),
        pairs=pairs,
        values=after,
        series=rows,
        null={"kind": f"{against}, the same scenarios and seeds; values by scenario are rates", "judge": judge.name, "replies": said.size},
        spread=lab.seed_spread(ID, change) if cycle else None,
        rests_on=rests_on,
        level=Level(float(after.mean()), UNIT),
        exhibits=[
            exhibits.rates_by_domain(lab, before, after, domains_of(pairs), against),
            exhibits.replies_that_fell(lab, pairs, change, labeled, replies),
        ],
    )


def judged_by(judge: Judge) -> Mapping[str, str]:
    """Who labels the replies, and how they are sampled, as provenance."""
    return {"judge": judge.name, "sampling": f"{SAMPLES} replies, temperature {TEMPERATURE:g}, at most {MOST_TOKENS} tokens"}


def labels(lab: Lab, judge: Judge, subject: Subject, pairs: Sequence[Pair], seeds: Sequence[int]) -> list[list[Label]]:
    """The label of one sampled reply to every scenario under each seed, [seeds][pairs]. JudgeError where there is no answer."""
    prompts = [pair.messages for pair in pairs]
    return [judge.labels(prompts, texts) for texts in lab.recordings.replies_each(subject, prompts, seeds)]


def positive(labeled: Sequence[Sequence[Label]]) -> Flags:
    """Which replies were labeled positive, [seeds, pairs]."""
    return np.array([[label == "positive" for label in each] for each in labeled])


def change_of_rate(change: Floats, domains: Names, alpha: float, rng: np.random.Generator) -> Estimated:
    """Mean of `change` [pairs], each the change of a share of replies; no change anywhere is exactly 0. `domains` [pairs]."""
    if not change.any():
        return Estimated(Estimate.exact(0.0, len(change), alpha))
    return estimated(lambda: mean_interval(change, domains, alpha, rng))
