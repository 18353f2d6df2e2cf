"""The loop closed: what training-signal flags is corrected and trained on. Does that heal more than corrections drawn at random?

Log-odds after corrections of flagged scenarios, minus log-odds after as many random corrections in as many steps, both from the same
degraded adapter. Healed means a gain over random corrections while prose loses less than the margin of its own gate. It cannot show
healing over several rounds.
"""

from __future__ import annotations

import numpy as np

from evals.q4 import exhibits
from evals.q4.design import CORRECTIONS, PROSE_GATE, SELF_HEALING, UNITS
from evals.q4.study import Study
from fixtures import corpora
from harness.analysis.estimated import Answer, Estimated, estimated
from harness.analysis.intervals import mean_interval
from harness.arms.cycles import corrected
from harness.arms.doses import EXAMPLES
from harness.data.measurement import Measurement
from harness.data.subject import Subject
from harness.engines.protocol import Completion
from harness.readouts.bits_per_byte import bits_per_byte


def self_healing(study: Study) -> Measurement:
    """Flagged against random corrections, and what the flagged ones cost prose.

    AgentError or JudgeError where training-signal gives no answer; InputError where thresholds.toml has no margin for prose.
    """
    lab, unit, signal = study.lab, UNITS[SELF_HEALING], study.signal()
    margin, seed, train = lab.bound(PROSE_GATE), lab.settings.seed, lab.pairs("train")
    flags = signal.flag(study.conversations(study.degraded, train, seed))
    order = lab.rng(SELF_HEALING, "order").permutation(len(train))
    found = [train[i] for i in order if flags[i].flagged][:CORRECTIONS]
    if len(found) < EXAMPLES:
        reason = f"{len(found)} of {len(train)} replies were flagged, {EXAMPLES} at least are needed"
        return lab.measurement(SELF_HEALING, unit, reason=reason)
    drawn = [train[i] for i in lab.rng(SELF_HEALING, "random").permutation(len(train))[: len(found)]]
    study.say(f"{len(found)} corrections, flagged against random")
    positives = {name: [Completion(p.messages, p.positive) for p in chosen] for name, chosen in (("flagged", found), ("random", drawn))}
    assert study.degraded.adapter is not None
    healed = corrected(lab.arms, seed, study.degraded.adapter, positives)
    subjects = {"healthy": study.healthy, "none": study.degraded, **healed}
    shifts = {name: study.shift(subject) for name, subject in subjects.items()}
    over_random = shifts["flagged"] - shifts["random"]
    gain = estimated(lambda: mean_interval(over_random, study.domains, lab.alpha(SELF_HEALING), lab.rng(SELF_HEALING)))
    cost = cost_of_prose(study, healed["flagged"])
    above_degraded = {name: float((values - shifts["none"]).mean()) for name, values in shifts.items()}
    null = {
        "kind": f"{len(drawn)} corrections drawn at random, as many steps",
        "recovered by flagged corrections": above_degraded["flagged"],
        "recovered by random ones": above_degraded["random"],
        "lost by the degradation": above_degraded["healthy"],
        "bits per byte of prose against base": None if cost.value is None else cost.value.value,
    }
    return lab.measurement(
        SELF_HEALING,
        unit,
        gain,
        answer=healing_answer(gain, cost, margin),
        pairs=study.pairs,
        values=over_random,
        series=[{"cell": name, "estimate": float(values.mean())} for name, values in shifts.items()],
        null=null,
        rests_on=study.flagged_by,
        exhibits=[exhibits.loops(study, shifts)],
    )


def cost_of_prose(study: Study, subject: Subject) -> Estimated:
    """Bits per byte of unrelated prose above base's; positive is worse."""
    lab, prose = study.lab, corpora.prose()
    texts = [document.text for document in prose]
    cost = bits_per_byte(lab.recordings, subject, texts) - bits_per_byte(lab.recordings, lab.base, texts)
    domains = np.array([document.domain for document in prose])
    return estimated(lambda: mean_interval(cost, domains, 0.05, lab.rng(SELF_HEALING, "prose")))


def healing_answer(gain: Estimated, cost: Estimated, margin: float) -> Answer:
    """From the 95 % intervals of the gain over random corrections (nats) and of what prose pays (bits per byte, at most `margin`)."""
    if gain.value is None:
        return Answer(None, gain.reason)
    if gain.value.high < 0:
        return Answer("worse than random replay")
    if gain.value.low <= 0:
        return Answer(None, f"flagged minus random corrections: {gain.value.value:.3g} [{gain.value.low:.3g}, {gain.value.high:.3g}]")
    if cost.value is None:
        return Answer(None, f"more than random, but what prose costs is not known: {cost.reason}")
    if cost.value.high < margin:
        return Answer("healed")
    if cost.value.low > margin:
        return Answer("healed at the cost of prose")
    paid = f"{cost.value.value:.3g} [{cost.value.low:.3g}, {cost.value.high:.3g}]"
    return Answer(None, f"more than random, but prose costs {paid} bits per byte")
