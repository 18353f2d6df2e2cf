"""The behavior as it is said, not only as it is weighed: the share of sampled replies that the judge labels positive.

Log-odds of written completions can stay while what the model says of its own accord changes: of adapters whose judged rate truly fell by 20
points, one in fifteen lost so little log-odds that q4.regression let them pass (the calibration's table, before this gate). The judge
cannot say whether a promise in a reply is kept.

The change is corrected for the judge's errors (`harness/analysis/misclassification.py`), as measured on the completions and contrasts of
the same scenarios; a judge that misses the bar of preflight.judge on one kind of them measures nothing. A cycle that another judge labeled
is refused by name: the anchors are labeled again in every cycle.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evals.baseline import accepted_cycle, earlier
from evals.preflight.design import JUDGE
from evals.q4 import exhibits
from evals.q4.design import ID, SAMPLES, UNIT
from evals.q4.study import Study
from harness.analysis.estimated import Estimated, estimated
from harness.analysis.misclassification import corrected_change
from harness.arms.cycles import healthy
from harness.data.arrays import Flags, Floats, Names
from harness.data.behavior import Pair
from harness.data.measurement import Level, Measurement
from harness.data.subject import Subject
from harness.engines.protocol import MOST_TOKENS, TEMPERATURE
from harness.experiment.lab import Lab
from harness.experiment.profile import domains_of
from harness.judges.anchors import identity
from harness.judges.judge import Judge, JudgeError, Label
from harness.judges.reliability import Reliability, describe, reliability

SAMPLING = f"{SAMPLES} replies, temperature {TEMPERATURE:g}, at most {MOST_TOKENS} tokens"
"""As the provenance has it."""


def judged_rate(study: Study) -> Measurement:
    """The tested subject's rate minus the accepted cycle's (without one, base's), over the same scenarios and seeds.

    JudgeError where the judge gives no answer or misses its bar, NotComparable where the accepted cycle was measured on other data or by
    another judge.
    """
    lab, pairs, judge = study.lab, study.every_pair, study.judge()
    errors, who = fit_to_judge(lab, judge), identity(judge, lab.behavior)
    cycle = accepted_cycle(lab)
    seeds = range(lab.settings.seed, lab.settings.seed + SAMPLES)
    rests_on, ids = {**who, "sampling": SAMPLING}, [pair.id for pair in pairs]
    since = earlier(lab, cycle, ID, ids, rests_on) if cycle else None
    before = since.of(ids) if since else positive(labels(lab, judge, lab.base, pairs, seeds)).mean(axis=0)
    tested = lab.candidate or healthy(lab.arms, lab.settings.seed)[0]
    study.say(f"{SAMPLES} replies to each of {len(pairs)} scenarios, judged by {judge.name}")
    labeled = labels(lab, judge, tested, pairs, seeds)
    after = positive(labeled).mean(axis=0)
    against, change, youden = f"cycle {cycle}" if cycle else "base", after - before, errors.youden(pairs)
    said = np.array(labeled)
    rows = [
        {"cell": f"candidate {lab.candidate.name}" if lab.candidate else "trained arm", "estimate": float(after.mean())},
        {"cell": against, "estimate": float(before.mean())},
        {"cell": "change as labeled, not corrected", "estimate": float(change.mean())},
        *({"cell": f"labeled {label}", "estimate": float((said == label).mean())} for label in ("positive", "negative", "neither")),
    ]
    replies = study.conversations_each(tested, pairs, seeds)
    return lab.measurement(
        ID,
        UNIT,
        change_of_rate(change, youden, domains_of(pairs), lab.alpha(ID), lab.rng(ID)),
        pairs=pairs,
        values=after,
        series=rows,
        null={
            "kind": f"{against}, the same scenarios and seeds; values by scenario are rates as labeled",
            "judge": judge.name,
            "sensitivity + specificity − 1": float(youden.mean()),
            "replies": said.size,
        },
        spread=lab.seed_spread(ID, since.continued) if since else None,
        rests_on=rests_on,
        level=Level(float(after.mean()), f"{UNIT}, as labeled"),
        exhibits=[
            exhibits.rates_by_domain(lab, before, after, domains_of(pairs), against),
            exhibits.replies_that_fell(lab, pairs, change, labeled, replies),
        ],
    )


def fit_to_judge(lab: Lab, judge: Judge) -> Reliability:
    """How often the judge is right. JudgeError where it misses the bar of preflight.judge on some kind of held-out replies."""
    found, bar = reliability(judge, lab.behavior), lab.threshold(JUDGE).at_least
    if bar is not None and (missed := found.missed(bar)):
        raise JudgeError(f"the judge {judge.name} is right on {describe(missed)}, a share below the {bar:g} of {JUDGE}")
    return found


def labels(lab: Lab, judge: Judge, subject: Subject, pairs: Sequence[Pair], seeds: Sequence[int]) -> list[list[Label]]:
    """The label of one sampled reply to every scenario under each seed, [seeds][pairs]. JudgeError where there is no answer."""
    prompts = [pair.messages for pair in pairs]
    return [judge.labels(prompts, texts) for texts in lab.recordings.replies_each(subject, prompts, seeds)]


def positive(labeled: Sequence[Sequence[Label]]) -> Flags:
    """Which replies were labeled positive, [seeds, pairs]."""
    return np.array([[label == "positive" for label in each] for each in labeled])


def change_of_rate(change: Floats, youden: Floats, domains: Names, alpha: float, rng: np.random.Generator) -> Estimated:
    """Corrected mean of `change` [pairs], each the change of a share of replies; `youden` and `domains` [pairs]."""
    return estimated(lambda: corrected_change(change, youden, domains, alpha, rng))
