"""Did it take? The candidate over base, as a share of what the suite's own whole training moves, and in judged replies.

q4.regression asks whether a cycle lost something; a cycle that never learned anything loses nothing. This cannot say which of the
candidate's examples it learned from.
"""

from __future__ import annotations

from evals.q4.design import LEARNED, SAMPLES, UNIT_OF_EFFECT
from evals.q4.effect import compared, share_of_effect
from evals.q4.judged_rate import labels, positive
from evals.q4.study import Study
from harness.analysis.estimated import Answer, Estimated
from harness.data.measurement import Measurement
from harness.judges.judge import JudgeError

TOOK = 0.5
"""Share of the reference training's effect from which the behavior counts as learned."""
NOTHING = 0.1
"""Smallest share of interest: below it nothing was learned that anybody would notice."""


def learned(study: Study) -> Measurement:
    """The candidate's log-odds above base's over the reference training's; judged points in the series, where the judge answers."""
    lab, pairs = study.lab, study.every_pair
    assert lab.candidate is not None
    found = compared(study, None)
    share = share_of_effect(found.after, found.full, found.domains, lab.alpha(LEARNED))
    rows = [
        {"cell": "the suite's own training", "estimate": float(found.full.mean()), "unit": "nats above base"},
        {"cell": f"candidate {lab.candidate.name}", "estimate": float(found.after.mean()), "unit": "nats above base"},
    ]
    try:
        judge, seeds = study.judge(), range(lab.settings.seed, lab.settings.seed + SAMPLES)
        base, now = (float(positive(labels(lab, judge, one, pairs, seeds)).mean()) for one in (lab.base, lab.candidate))
        rows += [
            {"cell": "judged replies, base", "estimate": base, "unit": "share labeled positive"},
            {"cell": f"judged replies, candidate {lab.candidate.name}", "estimate": now, "unit": "share labeled positive"},
        ]
        judged = f"judged replies {100 * (now - base):+.0f} points"
    except JudgeError as failure:
        judged = f"replies were not judged: {failure}"
    return lab.measurement(
        LEARNED,
        UNIT_OF_EFFECT,
        share,
        answer=learned_answer(share),
        pairs=pairs,
        values=found.after,
        series=rows,
        null={"kind": "base; 1 is what the suite's own training moves", "beside": judged},
    )


def learned_answer(share: Estimated) -> Answer:
    """From the 95 % interval of the share."""
    if share.value is None:
        return Answer(None, share.reason)
    low, high = share.value.low, share.value.high
    said = f"{share.value.value:.2f} [{low:.2f}, {high:.2f}] of what the suite's own training moves"
    if low >= TOOK:
        return Answer("it took", said)
    if low > -NOTHING and high < NOTHING:
        return Answer(f"less than {NOTHING:.0%} of a training", said)
    if high < 0:
        return Answer("the opposite was learned", said)
    if low > 0:
        return Answer("it took in part", said)
    return Answer(None, said)
