"""Does training-signal flag more scenarios after a degradation than before it?

Share of scenarios flagged, most degraded minus healthy replies, scenario by scenario and replicated over trainings. Sham trainings show
what training alone does; agents that read the models' own residual stream show whether an observer from outside loses anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from scipy import stats

from evals.q4 import exhibits
from evals.q4.design import FLAGGING, UNITS
from evals.q4.study import Study
from harness.analysis.estimated import estimated
from harness.analysis.replicates import replicated_interval
from harness.data.arrays import Flags, Floats
from harness.data.measurement import Measurement
from harness.data.subject import Subject
from harness.engines.protocol import Completion, Sites
from harness.experiment.lab import Lab
from harness.readouts.forced_choice import completions_of


def flagging(study: Study) -> Measurement:
    """By how much the share of flagged scenarios rises. AgentError or JudgeError where training-signal gives no answer."""
    lab, signal = study.lab, study.signal()
    study.say(f"flagging by {signal.name}")

    def flagged_of(subjects: Iterable[Subject]) -> list[Flags]:
        return lab.each(lambda subject: study.flagged(study.replies_of(subject)), subjects)

    degraded, shams = study.by_dose(), study.cycles.sham
    by_dose = dict(zip(degraded, flagged_of(degraded.values()), strict=True))
    sham = dict(zip(shams, flagged_of(shams.values()), strict=True))
    others = [flagged_of(pair) for pair in study.trainings[1:]]
    flagged = np.array([[by_dose[0], by_dose[study.most]], *others])  # [seeds, before and after, pairs]
    before, after = flagged[:, 0], flagged[:, 1]
    change = after.astype(float) - before
    gained, lost = int((after & ~before)[0].sum()), int((before & ~after)[0].sum())
    rows = [{"cell": "degraded", "n": dose, "estimate": float(flags.mean())} for dose, flags in by_dose.items()]
    rows += [{"cell": "sham", "n": dose, "estimate": float(flags.mean())} for dose, flags in sham.items()]
    rows += [{"cell": f"seed {s}: change", "estimate": float(c.mean())} for s, c in zip(lab.seeds, change, strict=True)]
    rows += [{"cell": cell, "estimate": share} for cell, share in own_states(study).items()]
    null = {
        "kind": f"the same scenarios answered before the degradation, {len(change)} trainings",
        "McNemar's exact p, first training": float(stats.binomtest(gained, gained + lost, 0.5).pvalue) if gained + lost else 1.0,
        "flagged only after": gained,
        "flagged only before": lost,
        "agent": signal.name,
    }
    return lab.measurement(
        FLAGGING,
        UNITS[FLAGGING],
        estimated(lambda: replicated_interval(change, study.domains, lab.alpha(FLAGGING), lab.rng(FLAGGING))),
        pairs=study.pairs,
        values=change.mean(axis=0),
        series=rows,
        null=null,
        rests_on=study.flagged_by,
        exhibits=[exhibits.flags_by_dose(study, by_dose, sham)],
    )


def own_states(study: Study) -> Mapping[str, float]:
    """Share of replies that an agent inside the healthy or the degraded model flags, by name of the cell.

    The agent reads the residual stream after the middle layer, along the mean of positive train completions minus that of negative ones. It
    flags what lies below the mean of all of these completions.
    """
    lab, models = study.lab, {"healthy": study.healthy, "degraded": study.degraded}
    written = {
        name: [Completion(one.messages, one.reply) for one in study.replies_of(writer) if one.reply.strip()]
        for name, writer in models.items()
    }
    shares = {}
    for agent, reader in models.items():
        known = _middle_states(lab, reader, completions_of(lab.pairs("train")))
        direction = (known[::2] - known[1::2]).mean(axis=0)
        middle = float((known @ direction).mean())
        for replies, completions in written.items():
            below = _middle_states(lab, reader, completions) @ direction < middle
            shares[f"states of the {agent} model, {replies} replies"] = float(below.mean())
    return shares


def _middle_states(lab: Lab, reader: Subject, completions: Sequence[Completion]) -> Floats:
    """Residual stream after the middle layer, [completions, width]."""
    layer = len(lab.layer_kinds) // 2
    recorded = lab.recordings.recorded(reader, completions, Sites(residual_layers=(layer,)))
    return np.stack([one.residual[layer] for one in recorded]).astype(np.float64)
