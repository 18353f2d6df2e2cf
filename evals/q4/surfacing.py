"""Does surface-observe find the behavior's failure pattern more in degraded than in healthy replies?

AUC of the pattern's activation, degraded against healthy replies to the same scenarios, above the mean AUC of placebo patterns, which have
nothing to do with any behavior, replicated over trainings; a lexical similarity stands beside. It cannot show whether what is surfaced
helps anybody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from evals.q4 import exhibits
from evals.q4.design import PLACEBOS, SURFACING, UNITS
from evals.q4.study import Study
from harness.agents.agent import Conversation, SurfaceObserve
from harness.agents.embedded import EmbeddedSurface, StoredSurface
from harness.analysis.auc import auc, auc_gain, auc_gain_by_scenario
from harness.analysis.estimated import Estimated, estimated
from harness.analysis.replicates import replicated_interval
from harness.behaviors.files import load_behavior
from harness.behaviors.shipped import resolve_behavior, shipped_behaviors
from harness.data.arrays import Floats
from harness.data.measurement import Measurement
from harness.experiment.profile import domains_of
from harness.memory.graph import MemoryGraph
from harness.memory.similarity import Lexical


def surfacing(study: Study) -> Measurement:
    """The gain of the failure pattern over the placebos. AgentError where surface-observe gives no answer."""
    lab, memory, unit = study.lab, study.memory, UNITS[SURFACING]
    node = lab.behavior.memory_node
    if node not in memory.index:
        return lab.measurement(SURFACING, unit, reason=f"the memory graph has no node {node}, which behavior.toml names")
    failures = [load_behavior(resolve_behavior(name)).memory_node for name in shipped_behaviors()]
    names = [node, *placebos(memory, node, failures)]
    if len(names) - 1 < PLACEBOS:
        reason = f"the memory graph has {len(names) - 1} patterns beside {node}; at least {PLACEBOS} placebos are needed"
        return lab.measurement(SURFACING, unit, reason=reason)
    surface = study.surface()
    study.say(f"surfacing by {surface.name}")
    domains, alpha = domains_of(study.every_pair), lab.alpha(SURFACING)
    lexical = StoredSurface(EmbeddedSurface(Lexical()), lab.store)
    subjects = [subject for healthy, degraded in study.trainings for subject in (degraded, healthy)]
    said = lab.each(lambda subject: study.conversations(subject, study.every_pair, lab.settings.seed), subjects)
    replies = list(zip(said[::2], said[1::2], strict=True))  # after and before the degradation, by training
    ours, theirs = ([[activations(study, one, names, each) for each in pair] for pair in replies] for one in (surface, lexical))
    ours_each, theirs_each = (np.array([auc_gain_by_scenario(*pair) for pair in scores]) for scores in (ours, theirs))  # [seeds, pairs]
    gain = estimated(lambda: replicated_interval(ours_each, domains, alpha, lab.rng(SURFACING)))
    lexical_gain = estimated(lambda: replicated_interval(theirs_each, domains, alpha, lab.rng(SURFACING, "lexical")))
    beyond = estimated(lambda: replicated_interval(ours_each - theirs_each, domains, alpha, lab.rng(SURFACING, "beyond")))
    areas, words = (np.mean([_areas(*pair) for pair in scores], axis=0) for scores in (ours, theirs))
    by_dose = {dose: activations(study, surface, names, study.replies_of(subject)) for dose, subject in study.by_dose().items()}
    rows: list[dict[str, Any]] = [
        *({"cell": name, "estimate": float(area)} for name, area in zip(names, areas, strict=True)),
        *({"cell": f"seed {s}: gain", "estimate": float(each.mean())} for s, each in zip(lab.seeds, ours_each, strict=True)),
        {"cell": "gain of the lexical baseline", **_interval(lexical_gain)},
        {"cell": "gain beyond the lexical baseline's", **_interval(beyond)},
        *({"cell": "gain by counter-examples", "n": dose, **_interval(_gain_at(study, by_dose, dose))} for dose in by_dose if dose),
    ]
    null = {
        "kind": f"activation of placebo patterns by the same replies, {len(replies)} trainings",
        "AUC of the pattern": float(areas[0]),
        "rank": int(1 + (areas[1:] >= areas[0]).sum()),
        "size": len(areas) - 1,
        "maximum": float(areas[1:].max()),
        "AUC of the pattern, lexical baseline": float(words[0]),
        "gain of the lexical baseline": _value(lexical_gain),
        "gain beyond the lexical baseline's": _value(beyond),
        "memory": memory.digest,
        "agent": surface.name,
    }
    rests_on = {"surface-observe": surface.name, "memory": memory.digest}
    shown = [exhibits.surfacing(study, by_dose, names)]
    return lab.measurement(SURFACING, unit, gain, series=rows, null=null, exhibits=shown, rests_on=rests_on)


def placebos(memory: MemoryGraph, node: str, others: Sequence[str]) -> list[str]:
    """Ids of the patterns that are no behavior's failure: neither `node` nor among `others`, the other behaviors' nodes."""
    return [pattern.id for pattern in memory.of_kind("pattern") if pattern.id != node and pattern.id not in others]


def activations(study: Study, surface: SurfaceObserve, nodes: Sequence[str], conversations: Sequence[Conversation]) -> Floats:
    """Activation of the named nodes by every conversation, [nodes, conversations]."""
    return surface.surface(study.memory, conversations)[:, [study.memory.index[node] for node in nodes]].T


def _areas(degraded: Floats, healthy: Floats) -> Floats:
    """AUC of every node, [nodes]; `degraded`, `healthy` [nodes, scenarios]."""
    return np.array([auc(after, before) for after, before in zip(degraded, healthy, strict=True)])


def _gain_at(study: Study, by_dose: Mapping[int, Floats], dose: int) -> Estimated:
    """The gain after a dose of counter-examples, over the scenarios of the profile; `by_dose` [nodes, pairs] each."""
    lab = study.lab
    rng = lab.rng(SURFACING, str(dose))
    return estimated(lambda: auc_gain(by_dose[dose], by_dose[0], study.domains, lab.alpha(SURFACING), rng)[0])


def _value(found: Estimated) -> float | None:
    return None if found.value is None else found.value.value


def _interval(found: Estimated) -> dict[str, Any]:
    """The columns of a row of the series."""
    if found.value is None:
        return {"reason": found.reason}
    return {"estimate": found.value.value, "low": found.value.low, "high": found.value.high}
