"""Q4's measurements: one function a check, each on its own data, so that an agent that fails takes no other check with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import stats

from evals.baseline import Earlier, NotComparable, accepted_cycle, earlier, pinned_cycle
from evals.q4 import plots
from evals.q4.baseline import probes_since
from evals.q4.judged_rate import judged_rate
from fixtures import corpora
from harness.agents.agent import AgentError, Conversation, Flag, SurfaceObserve, TrainingSignal
from harness.agents.embedded import EmbeddedSurface, StoredSurface
from harness.analysis.auc import auc_difference, auc_gain
from harness.analysis.control_chart import Chart, tuned
from harness.analysis.intervals import mean_interval
from harness.analysis.ratios import ratio_interval
from harness.analysis.sample import DegenerateSample
from harness.arms.cycles import CORRECTION_STEPS, EXAMPLES, Cycles, corrected, cycles, healthy
from harness.behaviors.files import load_behavior
from harness.behaviors.shipped import resolve_behavior, shipped_behaviors
from harness.data.arrays import Flags, Floats, Names
from harness.data.behavior import Pair
from harness.data.measurement import Estimate, Exhibit, Measurement
from harness.data.subject import Subject
from harness.engines.protocol import Completion, Sites
from harness.experiment.lab import Lab
from harness.experiment.profile import domains_of
from harness.judges.judge import Judge
from harness.memory.graph import MemoryGraph
from harness.memory.similarity import Lexical
from harness.readouts.bits_per_byte import bits_per_byte
from harness.readouts.forced_choice import PRIMARY, UNIT, completions_of

PROBES = 48
"""Fresh probes a cycle."""
CLEAN, PLANTED = 6, 3
"""Simulated cycles of the healthy adapter, then of the most degraded one."""
CORRECTIONS = EXAMPLES * CORRECTION_STEPS
REPLIES = 2
"""To a scenario, for surfacing: their activations are averaged, so that a scenario counts once."""
UNIT_OF_EFFECT = "share of the training effect"


@dataclass(frozen=True)
class Study:
    """A lab with its agents and everything derived from them, measured when asked for."""

    lab: Lab
    memory: MemoryGraph
    surface: Callable[[], SurfaceObserve]
    signal: Callable[[], TrainingSignal]
    """Made when first needed: one that cannot be made takes only its own checks with it."""
    judge: Callable[[], Judge]

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        return self.lab.pairs("test")

    @cached_property
    def every_pair(self) -> tuple[Pair, ...]:
        """All test pairs, whatever the profile: the gate is cheap, and what it must tell apart is small."""
        return self.lab.behavior.split("test")

    @cached_property
    def domains(self) -> Names:
        return domains_of(self.pairs)

    @cached_property
    def cycles(self) -> Cycles:
        self.lab.progress(f"q4 {self.lab.behavior.name}: healthy, further, degraded and sham cycles")
        return cycles(self.lab.arms, self.lab.settings.seed)

    @property
    def most(self) -> int:
        """The highest dose of counter-examples."""
        return max(self.cycles.degraded)

    def shift(self, subject: Subject) -> Floats:
        """Log-odds above base's, nats, [test pairs]."""
        return self.lab.shift(subject, self.pairs).metric(PRIMARY)

    def conversations(self, subject: Subject, pairs: Sequence[Pair], seed: int) -> list[Conversation]:
        return self.conversations_each(subject, pairs, (seed,))[0]

    def conversations_each(self, subject: Subject, pairs: Sequence[Pair], seeds: Sequence[int]) -> list[list[Conversation]]:
        """[seeds][pairs]."""
        replies = self.lab.recordings.replies_each(subject, [pair.messages for pair in pairs], seeds)
        return [[Conversation(pair.messages, reply) for pair, reply in zip(pairs, each, strict=True)] for each in replies]

    def replies_of(self, subject: Subject) -> list[Conversation]:
        """One reply to every test scenario; the same seed for every subject."""
        return self.conversations(subject, self.pairs, self.lab.settings.seed)

    def by_dose(self) -> dict[int, Subject]:
        """Healthy (0) and the degraded ones, by counter-examples."""
        return {0: self.cycles.healthy, **self.cycles.degraded}

    def flagged(self, conversations: Sequence[Conversation]) -> Flags:
        return np.array([flag.flagged for flag in self.signal().flag(conversations)])


def regression(study: Study) -> Measurement:
    """The gate: candidate (without one, the trained arm) against the accepted cycle, as a share of what a whole training moves."""
    return _against_cycle(study.lab, "q4.regression", study.every_pair, accepted_cycle(study.lab))


def drift(study: Study) -> Measurement:
    """The gate on slow decay: candidate against the pinned cycle, where that is not the accepted one."""
    lab, id = study.lab, "q4.drift"
    cycle = pinned_cycle(lab)
    if cycle is None or cycle == accepted_cycle(lab):
        reason = "no cycle is pinned" if lab.candidate else "there is no candidate"
        reason = reason if cycle is None else f"cycle {cycle} is both pinned and accepted: q4.regression asks this"
        return lab.measurement(id, UNIT_OF_EFFECT, reason=reason, not_applicable=True)
    return _against_cycle(lab, id, study.every_pair, cycle)


def _against_cycle(lab: Lab, id: str, pairs: tuple[Pair, ...], cycle: str | None) -> Measurement:
    try:
        before = None if cycle is None else earlier(lab, cycle, "q4.regression", [pair.id for pair in pairs])
    except NotComparable as difference:
        return lab.measurement(id, UNIT_OF_EFFECT, reason=str(difference))
    return loss(lab, id, pairs, before)


def loss(lab: Lab, id: str, pairs: tuple[Pair, ...], baseline: Earlier | None) -> Measurement:
    """What the tested subject gained or lost against an earlier cycle (None: base), as a share of what a whole training moves."""
    trained, _ = healthy(lab.arms, lab.settings.seed)
    tested = lab.candidate or trained
    full = lab.shift(trained, pairs).metric(PRIMARY)
    after = lab.shift(tested, pairs).metric(PRIMARY)
    before = baseline.of([pair.id for pair in pairs]) if baseline else np.zeros_like(after)
    against = f"cycle {baseline.cycle}" if baseline else "base"
    rows = [
        {"cell": "a whole training", "estimate": float(full.mean())},
        {"cell": f"candidate {lab.candidate.name}" if lab.candidate else "trained arm", "estimate": float(after.mean())},
        {"cell": against, "estimate": float(before.mean())},
    ]
    change = after - before
    estimate, reason = share_of_training(change, full, domains_of(pairs), lab.alpha(id))
    return lab.measurement(
        id,
        UNIT_OF_EFFECT,
        estimate,
        pairs=pairs,
        values=after,
        series=rows,
        reason=reason,
        null={"kind": f"{against}; values by scenario are nats above base"},
        spread=lab.seed_spread(id, change, float(full.mean())) if baseline else None,
    )


def share_of_training(change: Floats, full: Floats, domains: Names, alpha: float) -> tuple[Estimate | None, str | None]:
    """Mean of `change` over mean of `full` (a whole training's), both [test pairs] in nats, or why there is none."""
    if not change.any():
        return Estimate.exact(0.0, len(change), alpha), None
    if np.array_equal(change, full):
        return Estimate.exact(1.0, len(change), alpha), None  # the trained arm is its own whole training
    try:
        return ratio_interval(change, full, domains, alpha), None
    except DegenerateSample as degenerate:
        return None, f"the share of a whole training's effect: {degenerate}"


def _without_agent(lab: Lab, id: str, unit: str, measure: Callable[[], Measurement]) -> Measurement:
    """A measurement, or the reason why the agent it rests on gave none."""
    try:
        return measure()
    except (AgentError, DegenerateSample) as error:
        return lab.measurement(id, unit, reason=str(error))


def surfacing(study: Study) -> Measurement:
    """AUC of the failure pattern's activation, degraded against healthy replies, above that of the placebo patterns."""
    id = "q4.surfacing"
    return _without_agent(study.lab, id, "AUC above placebos", lambda: _surfacing(study, id))


def placebos(memory: MemoryGraph, node: str, others: Sequence[str]) -> list[str]:
    """Patterns that are no behavior's failure: matched to it in degree and length of text."""
    return [pattern.id for pattern in memory.of_kind("pattern") if pattern.id != node and pattern.id not in others]


def activations(study: Study, surface: SurfaceObserve, nodes: Sequence[str], conversations: Sequence[Conversation]) -> Floats:
    """Activation of the named nodes by every conversation, [nodes, conversations]."""
    return surface.surface(study.memory, conversations)[:, [study.memory.index[node] for node in nodes]].T


def averaged(study: Study, surface: SurfaceObserve, nodes: Sequence[str], replies: Sequence[Sequence[Conversation]]) -> Floats:
    """The mean of `activations` over several replies to the same scenarios, [nodes, scenarios]; the agent is asked once."""
    every = activations(study, surface, nodes, [conversation for each in replies for conversation in each])
    return np.asarray(every.reshape(len(nodes), len(replies), -1).mean(axis=1))


def _surfacing(study: Study, id: str) -> Measurement:
    lab, memory = study.lab, study.memory
    unit = "AUC above placebos"
    node = lab.behavior.memory_node
    if node not in memory.index:
        return lab.measurement(id, unit, reason=f"the memory graph has no node {node}, which behavior.toml names")
    failures = [load_behavior(resolve_behavior(name)).memory_node for name in shipped_behaviors()]
    names = [node, *placebos(memory, node, failures)]
    if len(names) < 6:
        reason = f"the memory graph has {len(names) - 1} patterns beside {node}; at least 5 placebos are needed"
        return lab.measurement(id, unit, reason=reason)
    surface = study.surface()
    lab.progress(f"q4 {lab.behavior.name}: surfacing by {surface.name}")
    alpha, domains = lab.alpha(id), domains_of(study.every_pair)
    seeds = range(lab.settings.seed, lab.settings.seed + REPLIES)
    replies = [
        study.conversations_each(subject, study.every_pair, seeds) for subject in (study.cycles.degraded[study.most], study.cycles.healthy)
    ]
    degraded, healthy = (averaged(study, surface, names, each) for each in replies)
    estimate, areas = auc_gain(degraded, healthy, domains, alpha, lab.rng(id))
    by_words = StoredSurface(EmbeddedSurface(Lexical()), lab.store)
    words_degraded, words_healthy = (averaged(study, by_words, names, each) for each in replies)
    word_gain, word_areas = auc_gain(words_degraded, words_healthy, domains, alpha, lab.rng(id, "lexical"))
    beyond = auc_difference((degraded, healthy), (words_degraded, words_healthy), domains, alpha, lab.rng(id, "beyond"))
    rows: list[dict[str, Any]] = [{"cell": name, "estimate": float(area)} for name, area in zip(names, areas, strict=True)]
    rows.append({"cell": "gain of the lexical baseline", **_interval(word_gain)})
    rows.append({"cell": "gain beyond the lexical baseline's", **_interval(beyond)})
    by_dose = {dose: activations(study, surface, names, study.replies_of(subject)) for dose, subject in study.by_dose().items()}
    for dose in study.cycles.degraded:
        gain, _ = auc_gain(by_dose[dose], by_dose[0], study.domains, alpha, lab.rng(id, str(dose)))
        rows.append({"cell": "gain by counter-examples", "n": dose, **_interval(gain)})
    null = {
        "kind": "activation of placebo patterns by the same replies",
        "AUC of the pattern": float(areas[0]),
        "rank": int(1 + (areas[1:] >= areas[0]).sum()),
        "size": len(areas) - 1,
        "maximum": float(areas[1:].max()),
        "AUC of the pattern, lexical baseline": float(word_areas[0]),
        "gain of the lexical baseline": word_gain.value,
        "gain beyond the lexical baseline's": beyond.value,
        "memory": memory.digest,
        "agent": surface.name,
    }
    exhibits = [Exhibit("surfacing of the pattern by dose", plots.surfacing(study, by_dose, names))]
    return lab.measurement(id, unit, estimate, series=rows, null=null, exhibits=exhibits)


def _interval(estimate: Estimate) -> dict[str, float]:
    return {"estimate": estimate.value, "low": estimate.low, "high": estimate.high}


def flagging(study: Study) -> Measurement:
    """Share of scenarios flagged, most degraded minus healthy replies."""
    id = "q4.flagging"
    return _without_agent(study.lab, id, "share of scenarios", lambda: _flagging(study, id))


def _flagging(study: Study, id: str) -> Measurement:
    lab, signal = study.lab, study.signal()
    lab.progress(f"q4 {lab.behavior.name}: flagging by {signal.name}")
    by_dose = {dose: study.flagged(study.replies_of(subject)) for dose, subject in study.by_dose().items()}
    sham = {dose: study.flagged(study.replies_of(subject)) for dose, subject in study.cycles.sham.items()}
    before, after = by_dose[0], by_dose[study.most]
    estimate = mean_interval(after.astype(float) - before, study.domains, lab.alpha(id), lab.rng(id))
    gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
    rows = [{"cell": "degraded", "n": dose, "estimate": float(flags.mean())} for dose, flags in by_dose.items()]
    rows += [{"cell": "sham", "n": dose, "estimate": float(flags.mean())} for dose, flags in sham.items()]
    for (agent, replies), share in _own_states(study).items():
        rows.append({"cell": f"states of the {agent} model, {replies} replies", "estimate": share})
    null = {
        "kind": "the same scenarios answered before the degradation",
        "McNemar's exact p": float(stats.binomtest(gained, gained + lost, 0.5).pvalue) if gained + lost else 1.0,
        "flagged only after": gained,
        "flagged only before": lost,
        "agent": signal.name,
    }
    values = after.astype(float) - before
    exhibits = [Exhibit("flags by dose", plots.flags_by_dose(study, by_dose, sham))]
    return lab.measurement(id, "share of scenarios", estimate, pairs=study.pairs, values=values, series=rows, null=null, exhibits=exhibits)


def _own_states(study: Study) -> dict[tuple[str, str], float]:
    """Healthy and degraded replies flagged by an agent that reads them with the healthy or the degraded model's own residual stream.

    The agent: difference of means of the middle layer over train completions, cut half way. Share flagged, by (agent, replies).
    """
    lab = study.lab
    layer = len(lab.layer_kinds) // 2
    train = lab.pairs("train")
    shares = {}
    for agent, reader in (("healthy", study.cycles.healthy), ("degraded", study.cycles.degraded[study.most])):

        def read(completions: Sequence[Completion], reader: Subject = reader) -> Floats:
            recorded = lab.recordings.recorded(reader, completions, Sites(residual_layers=(layer,)))
            return np.stack([one.residual[layer] for one in recorded]).astype(np.float64)

        known = read(completions_of(train))
        direction = (known[::2] - known[1::2]).mean(axis=0)
        middle = float((known @ direction).mean())
        for replies, writer in (("healthy", study.cycles.healthy), ("degraded", study.cycles.degraded[study.most])):
            written = [Completion(c.messages, c.reply) for c in study.replies_of(writer) if c.reply.strip()]
            shares[agent, replies] = float((read(written) @ direction < middle).mean())
    return shares


def _probe_rate(study: Study, subject: Subject, cycle: int) -> int:
    """Flags among the fresh probes of a cycle: scenarios and samples follow from the seed and the cycle."""
    lab = study.lab
    rng = lab.rng("q4", "probes", str(cycle))
    chosen = [study.pairs[i] for i in rng.choice(len(study.pairs), PROBES, replace=len(study.pairs) < PROBES)]
    return int(study.flagged(study.conversations(subject, chosen, 1000 + cycle)).sum())


def detection(study: Study) -> Measurement:
    """The control chart of the tested adapter's cycles, as a share of its limit; a planted degradation must set it off."""
    id = "q4.detection"
    return _without_agent(study.lab, id, "of the control limit", lambda: _detection(study, id))


def _detection(study: Study, id: str) -> Measurement:
    lab, unit = study.lab, "of the control limit"
    study.signal()  # an agent that cannot be made says so before anything is trained
    subjects = [study.cycles.healthy] * CLEAN + [study.cycles.degraded[study.most]] * PLANTED
    lab.progress(f"q4 {lab.behavior.name}: {len(subjects)} simulated cycles of {PROBES} probes")
    known = study.flagged(study.conversations(study.cycles.healthy, study.pairs, 999))
    chart = tuned(int(known.sum()), len(known), PROBES)
    counts = [_probe_rate(study, subject, cycle) for cycle, subject in enumerate(subjects)]
    path = chart.path(counts, PROBES)
    caught = next((i + 1 for i, value in enumerate(path[CLEAN:]) if value >= chart.limit), None)
    exhibits = (Exhibit("control chart", plots.control_chart(study, chart, path, CLEAN)),)
    rows: list[dict[str, Any]] = [
        {"cell": "simulated cycle", "n": i + 1, "flagged": count, "probes": PROBES, "estimate": value / chart.limit}
        for i, (count, value) in enumerate(zip(counts, path, strict=True))
    ]
    value = max(path[:CLEAN])
    pinned = f"the suite's healthy adapter, {int(known.sum())} of {len(known)} flagged"
    if lab.candidate is not None:
        of_candidate, chart, pinned, more = _candidates_chart(study, chart, pinned)
        value = of_candidate
        rows += more
    null = {
        "kind": f"rate of {pinned}; p0 its upper 80 % limit",
        "p0": chart.p0,
        "p1": chart.p1,
        "limit": chart.limit,
        "planted degradation": f"caught in cycle {caught}" if caught else f"not caught in {PLANTED} cycles",
    }
    if caught is None:
        reason = f"a planted degradation was not caught within {PLANTED} cycles, so the chart's silence means nothing"
        return lab.measurement(id, unit, series=rows, null=null, exhibits=exhibits, reason=reason)
    return lab.measurement(id, unit, Estimate.exact(value / chart.limit, PROBES, lab.alpha(id)), series=rows, null=null, exhibits=exhibits)


def _candidates_chart(study: Study, chart: Chart, pinned: str) -> tuple[float, Chart, str, list[dict[str, Any]]]:
    """S of the candidate's cycles since the accepted one, with the chart, what it is pinned to, and this cycle's probes."""
    lab = study.lab
    assert lab.candidate is not None
    try:
        known = probes_since(lab, study.every_pair, lab.measurement("q4.detection", "").provenance)
    except NotComparable as difference:
        raise AgentError(str(difference)) from None
    flagged = _probe_rate(study, lab.candidate, 100 + len(known))
    counts = [flagged]
    if known:
        first, *since = known
        chart = tuned(first.flagged, first.probes, PROBES)
        pinned = f"cycle {first.cycle}, {first.flagged} of {first.probes} flagged"
        counts = [*(each.flagged for each in since), flagged]
    rows = [{"cell": "probes of this cycle", "flagged": flagged, "probes": PROBES, "estimate": flagged / PROBES}]
    return chart.path(counts, PROBES)[-1], chart, pinned, rows


def self_healing(study: Study) -> Measurement:
    """The loop closed: what was flagged is corrected and trained on, against corrections of scenarios drawn at random, and none."""
    id = "q4.self_healing"
    return _without_agent(study.lab, id, UNIT, lambda: _self_healing(study, id))


def _self_healing(study: Study, id: str) -> Measurement:
    lab, seed, signal = study.lab, study.lab.settings.seed, study.signal()
    degraded = study.cycles.degraded[study.most]
    train = lab.pairs("train")
    flags: list[Flag] = signal.flag(study.conversations(degraded, train, seed))
    order = lab.rng(id, "order").permutation(len(train))
    found = [train[i] for i in order if flags[i].flagged][:CORRECTIONS]
    if len(found) < EXAMPLES:
        return lab.measurement(id, UNIT, reason=f"{len(found)} of {len(train)} replies were flagged, {EXAMPLES} at least are needed")
    drawn = [train[i] for i in lab.rng(id, "random").permutation(len(train))[: len(found)]]
    lab.progress(f"q4 {lab.behavior.name}: {len(found)} corrections, flagged against random")
    positives = {name: [Completion(p.messages, p.positive) for p in chosen] for name, chosen in (("flagged", found), ("random", drawn))}
    assert degraded.adapter is not None
    healed = corrected(lab.arms, seed, degraded.adapter, positives)
    shifts = {"none": study.shift(degraded), **{name: study.shift(subject) for name, subject in healed.items()}}
    healthy_shift = study.shift(study.cycles.healthy)
    gain = mean_interval(shifts["flagged"] - shifts["random"], study.domains, lab.alpha(id), lab.rng(id))
    prose = corpora.prose()
    texts = [document.text for document in prose]
    cost = bits_per_byte(lab.recordings, healed["flagged"], texts) - bits_per_byte(lab.recordings, lab.base, texts)
    paid = mean_interval(cost, np.array([document.domain for document in prose]), 0.05, lab.rng(id, "prose"))
    threshold = lab.thresholds.for_check("q6.perplexity", lab.base.name, lab.behavior.name)
    margin = threshold.margin if threshold is not None and threshold.margin is not None else 0.01
    answer, reason = _healing_answer(gain, paid, margin)
    recovered = {name: float((values - shifts["none"]).mean()) for name, values in shifts.items() if name != "none"}
    null = {
        "kind": f"{len(drawn)} corrections drawn at random, as many steps",
        "recovered by flagged corrections": recovered["flagged"],
        "recovered by random ones": recovered["random"],
        "lost by the degradation": float((healthy_shift - shifts["none"]).mean()),
        "bits per byte of prose against base": paid.value,
    }
    rows = [{"cell": name, "estimate": float(values.mean())} for name, values in {"healthy": healthy_shift, **shifts}.items()]
    exhibits = [Exhibit("open against closed loop", plots.loops(study, {"healthy": healthy_shift, **shifts}))]
    values = shifts["flagged"] - shifts["random"]
    return lab.measurement(
        id, UNIT, gain, pairs=study.pairs, values=values, series=rows, null=null, exhibits=exhibits, answer=answer, reason=reason
    )


def _healing_answer(gain: Estimate, cost: Estimate, margin: float) -> tuple[str | None, str | None]:
    if gain.high < 0:
        return "worse than random replay", None
    if gain.low <= 0:
        return None, f"flagged minus random corrections: {gain.value:.3g} [{gain.low:.3g}, {gain.high:.3g}]"
    if cost.high < margin:
        return "healed", None
    if cost.low > margin:
        return "healed at the cost of prose", None
    return None, f"more than random, but prose costs {cost.value:.3g} [{cost.low:.3g}, {cost.high:.3g}] bits per byte"


MEASURES: Mapping[str, Callable[[Study], Measurement]] = {
    "q4.regression": regression,
    "q4.drift": drift,
    "q4.judged_rate": lambda study: judged_rate(study.lab, study.judge, study.every_pair),
    "q4.surfacing": surfacing,
    "q4.flagging": flagging,
    "q4.detection": detection,
    "q4.self_healing": self_healing,
}
