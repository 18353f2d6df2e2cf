"""The loop closed: what training-signal flags is corrected and trained on. Does that heal more than corrections drawn at random?

Log-odds after corrections of flagged scenarios, minus log-odds after as many random corrections in as many steps, both from the same
degraded adapter, replicated over trainings. Healed means a gain over random corrections while prose loses less than the margin of its
own gate. It cannot show healing over several rounds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evals.q4 import exhibits
from evals.q4.design import CORRECTIONS, PROSE_GATE, SELF_HEALING, UNITS
from evals.q4.study import Study
from fixtures import corpora
from harness.analysis.estimated import Answer, Estimated, estimated
from harness.analysis.replicates import replicated_interval
from harness.arms.cycles import corrected
from harness.arms.doses import EXAMPLES
from harness.data.arrays import Floats
from harness.data.measurement import Measurement
from harness.data.subject import Subject
from harness.engines.protocol import Completion
from harness.readouts.bits_per_byte import bits_per_byte


def self_healing(study: Study) -> Measurement:
    """Flagged against random corrections, and what the flagged ones cost prose.

    AgentError or JudgeError where training-signal gives no answer; InputError where thresholds.toml has no margin for prose.
    """
    lab, unit = study.lab, UNITS[SELF_HEALING]
    margin = lab.bound(PROSE_GATE)
    study.signal()  # an agent that cannot be made says so before anything is trained
    loops = []
    for seed, (healthy, degraded) in zip(lab.seeds, study.trainings, strict=True):
        loop = _loop(study, seed, healthy, degraded)
        if isinstance(loop, str):
            return lab.measurement(SELF_HEALING, unit, reason=loop)
        loops.append(loop)
    over_random = np.array([loop.shifts["flagged"] - loop.shifts["random"] for loop in loops])  # [seeds, pairs]
    gain = estimated(lambda: replicated_interval(over_random, study.domains, lab.alpha(SELF_HEALING), lab.rng(SELF_HEALING)))
    cost = cost_of_prose(study, [loop.healed for loop in loops])
    mean = {name: np.mean([loop.shifts[name] for loop in loops], axis=0) for name in loops[0].shifts}
    above_degraded = {name: float((values - mean["none"]).mean()) for name, values in mean.items()}
    null = {
        "kind": f"as many corrections drawn at random, in as many steps; {len(loops)} trainings, {loops[0].corrections} corrections",
        "recovered by flagged corrections": above_degraded["flagged"],
        "recovered by random ones": above_degraded["random"],
        "lost by the degradation": above_degraded["healthy"],
        "bits per byte of prose against base": None if cost.value is None else cost.value.value,
    }
    rows = [{"cell": name, "estimate": float(values.mean())} for name, values in mean.items()]
    rows += [{"cell": f"seed {s}: flagged over random", "estimate": float(d.mean())} for s, d in zip(lab.seeds, over_random, strict=True)]
    return lab.measurement(
        SELF_HEALING,
        unit,
        gain,
        answer=healing_answer(gain, cost, margin),
        pairs=study.pairs,
        values=over_random.mean(axis=0),
        series=rows,
        null=null,
        rests_on=study.flagged_by,
        exhibits=[exhibits.loops(study, mean)],
    )


@dataclass(frozen=True)
class _Loop:
    """The loop closed once, for one training."""

    shifts: Mapping[str, Floats]
    """Log-odds above base's, nats, [pairs]: healthy, none (degraded), flagged and random corrections."""
    healed: Subject
    """After flagged corrections."""
    corrections: int


def _loop(study: Study, seed: int, healthy: Subject, degraded: Subject) -> _Loop | str:
    """Corrections of what was flagged and random ones, both from the degraded adapter; or why there are too few."""
    lab, train = study.lab, study.lab.pairs("train")
    flags = study.flagged(study.conversations(degraded, train, lab.settings.seed))
    order = np.random.default_rng([seed, 15]).permutation(len(train))
    found = [train[i] for i in order if flags[i]][:CORRECTIONS]
    if len(found) < EXAMPLES:
        return f"{len(found)} of {len(train)} replies were flagged, {EXAMPLES} at least are needed"
    drawn = [train[i] for i in np.random.default_rng([seed, 16]).permutation(len(train))[: len(found)]]
    study.say(f"{len(found)} corrections, flagged against random, seed {seed}")
    positives = {name: [Completion(p.messages, p.positive) for p in chosen] for name, chosen in (("flagged", found), ("random", drawn))}
    assert degraded.adapter is not None
    healed = corrected(lab.arms, seed, degraded.adapter, positives)
    subjects = {"healthy": healthy, "none": degraded, **healed}
    return _Loop({name: study.shift(subject) for name, subject in subjects.items()}, healed["flagged"], len(found))


def cost_of_prose(study: Study, subjects: Sequence[Subject]) -> Estimated:
    """Bits per byte of unrelated prose above base's, over all subjects; positive is worse."""
    lab, prose = study.lab, corpora.prose()
    texts = [document.text for document in prose]
    cost = np.array(
        lab.each(lambda one: bits_per_byte(lab.recordings, one, texts) - bits_per_byte(lab.recordings, lab.base, texts), subjects)
    )
    domains = np.array([document.domain for document in prose])
    return estimated(lambda: replicated_interval(cost, domains, 0.05, lab.rng(SELF_HEALING, "prose")))


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
