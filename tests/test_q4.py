"""Q4's plumbing: agents that fail, memories that lack what is needed, baselines of other data. Its answers: test_end_to_end.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from evals.baseline import NotComparable, accepted_cycle, earlier, pinned_cycle
from evals.q4 import flagging
from evals.q4.checks import MEASURES, known
from evals.q4.design import DETECTION, DRIFT, FLAGGING, LEARNED, REGRESSION, SURFACING, WORST_DOMAIN
from evals.q4.detection import probes_since
from evals.q4.effect import share_of_effect, smaller
from evals.q4.learned import learned_answer
from evals.q4.self_healing import healing_answer
from evals.q4.study import Study
from evals.question import Question
from fixtures.laboratory import make_lab
from fixtures.memory import load_memory
from fixtures.models.figures import TINY_HYBRID
from harness.agents.agent import AgentError, Conversation, Flag, SurfaceObserve, TrainingSignal
from harness.analysis.estimated import Answer, Estimated
from harness.arms.cycles import Cycles
from harness.behaviors.files import load_behavior
from harness.behaviors.shipped import resolve_behavior
from harness.data.behavior import Pair
from harness.data.measurement import Estimate, Measurement
from harness.data.settings import PROJECT, Settings
from harness.data.subject import Subject
from harness.data.verdict import Verdict
from harness.engines.hf.engine import HFEngine
from harness.experiment.lab import Lab
from harness.gate.history import records as history
from harness.gate.verdict.entry import Entry
from harness.gate.verdict.run import Run
from harness.gate.verdict.thresholds import load_thresholds
from harness.gate.verdict.verdicts import verdict_on
from harness.judges.judge import Judge, JudgeError
from harness.memory.graph import MemoryGraph
from harness.store import Store
from harness.subjects.files import base_subject
from harness.subjects.named import model_layer_kinds


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    settings = Settings(store=tmp_path / "store", reports=tmp_path / "reports", cycle="now")
    return make_lab(
        settings,
        load_behavior(resolve_behavior("listening")),
        base_subject("tiny-hybrid", TINY_HYBRID),
        None,
        model_layer_kinds(TINY_HYBRID),
        HFEngine(),
        Store(settings.store),
        load_thresholds(PROJECT / "thresholds.toml"),
        lambda line: None,
    )


def no_surface() -> SurfaceObserve:
    raise AgentError("surface-observe: it crashed")


def no_signal() -> TrainingSignal:
    raise AgentError("training-signal: it crashed")


def no_judge() -> Judge:
    raise JudgeError("judge: it crashed")


def study(lab: Lab, memory: MemoryGraph | None = None) -> Study:
    return Study(lab, memory or load_memory(None), no_surface, no_signal, no_judge)


@pytest.mark.parametrize(
    ("id", "says"),
    [
        ("q4.surfacing", "surface-observe: it crashed"),
        ("q4.judged_rate", "judge: it crashed"),
        ("q4.flagging", "training-signal: it crashed"),
        ("q4.detection", "training-signal: it crashed"),
        ("q4.self_healing", "training-signal: it crashed"),
    ],
)
def test_an_agent_that_fails_leaves_a_reason_and_trains_nothing(lab: Lab, id: str, says: str) -> None:
    measurement = MEASURES[id](study(lab))
    assert (measurement.estimate, measurement.reason) == (None, says)
    assert not lab.store.made


def test_a_memory_without_the_failure_pattern_says_so(lab: Lab) -> None:
    graph = load_memory(None)
    without = graph.renamed([f"node-{i}" for i in range(len(graph.nodes))])
    assert "has no node pattern-listening-as-avoidance" in str(MEASURES[SURFACING](study(lab, without)).reason)


def test_a_memory_with_few_patterns_says_so(lab: Lab) -> None:
    graph = load_memory(None)
    few = MemoryGraph(tuple(n for n in graph.nodes if n.kind != "pattern" or n.id == lab.behavior.memory_node), ())
    assert "at least 5 placebos" in str(MEASURES[SURFACING](study(lab, few)).reason)


def recorded(lab: Lab, cycle: str, shift: float, flagged: int, **other: str) -> None:
    """A cycle in the lab's history, every scenario moved by `shift`."""
    pairs = lab.behavior.split("test")
    estimate = Estimate(0.0, -0.1, 0.1, -0.1, 0.1, 0.001, 64, 32)
    gate = lab.measurement("q4.regression", "", estimate, pairs=pairs, values=np.full(len(pairs), shift) + np.arange(len(pairs)))
    chart = lab.measurement("q4.detection", "", estimate, series=[{"cell": "probes of this cycle", "flagged": flagged, "probes": 48}])

    def entry(measurement: Measurement, kind: str) -> Entry:
        changed = replace(measurement, provenance={**measurement.provenance, **other})
        return Entry(measurement.id, "listening", kind, Verdict("pass", "0", "fine"), changed)  # type: ignore[arg-type]  # a kind

    run = Run(Settings(), cycle, "2026-01-01T00:00:00+00:00", (entry(gate, "gate"), entry(chart, "check")), (), complete=True)
    history.append_to(lab.settings.history_path, run)


def with_candidate(lab: Lab) -> Lab:
    return replace(lab, candidate=replace(lab.base, name="candidate"))


def ids_of(lab: Lab) -> list[str]:
    return [pair.id for pair in lab.behavior.split("test")]


class Watcher:
    """A training-signal that flags every subject's replies at a rate of its own; a reply is the subject's name and a number."""

    name = "watcher"

    def __init__(self, rates: dict[str, float]) -> None:
        self.rates = rates

    def flag(self, conversations: Sequence[Conversation]) -> list[Flag]:
        said = [conversation.reply.split() for conversation in conversations]
        return [Flag(float(drawn) < self.rates[subject], None, None, 0.5) for subject, drawn in said]


@dataclass(frozen=True)
class Watched(Study):
    """A study whose subjects say their name and a number drawn at random: no model is asked."""

    def conversations_each(self, subject: Subject, pairs: Sequence[Pair], seeds: Sequence[int]) -> list[list[Conversation]]:
        drawn = np.random.default_rng(list(seeds)).random((len(seeds), len(pairs)))
        return [[Conversation(pair.messages, f"{subject.name} {x}") for pair, x in zip(pairs, row, strict=True)] for row in drawn]


def watched(lab: Lab, degraded: float, healthy: float = 0.1) -> Study:
    subjects = {name: replace(lab.base, name=name, adapter_digest=name) for name in ("healthy", "degraded", "sham")}
    rates = {"healthy": healthy, "degraded": degraded, "sham": healthy, "candidate": healthy}
    made = Watched(lab, load_memory(None), no_surface, lambda: Watcher(rates), no_judge)
    made.__dict__["cycles"] = Cycles(subjects["healthy"], {}, {96: subjects["degraded"]}, {96: subjects["sham"]})
    made.__dict__["trainings"] = tuple((subjects["healthy"], subjects["degraded"]) for _ in lab.seeds)
    return made


def test_the_accepted_cycle_is_read_scenario_by_scenario_with_the_probes_since(lab: Lab) -> None:
    lab, ids = with_candidate(lab), ids_of(lab)
    pairs = lab.behavior.split("test")
    assert accepted_cycle(lab) is None and probes_since(lab, pairs, {}) == ()
    for cycle, shift, flagged in (("sunday", 9.0, 1), ("monday", 0.5, 5), ("tuesday", 0.4, 7), ("now", 0.0, 40)):
        recorded(lab, cycle, shift, flagged)
    history.accept(lab.settings.history_path, "monday")
    assert accepted_cycle(lab) == "monday" and accepted_cycle(replace(lab, candidate=None)) is None
    baseline = earlier(lab, "monday", "q4.regression", ids)
    assert (baseline.cycle, baseline.subject) == ("monday", lab.base.digest)
    assert baseline.of(ids[::-1]).tolist() == [0.5 + i for i in reversed(range(len(ids)))]
    assert [(each.cycle, each.flagged) for each in probes_since(lab, pairs, {})] == [("monday", 5), ("tuesday", 7)]


def test_probes_that_another_agent_flagged_are_passed_over(lab: Lab) -> None:
    lab, pairs = with_candidate(lab), lab.behavior.split("test")
    for cycle, flagged in (("monday", 5), ("tuesday", 7)):
        recorded(lab, cycle, 0.5, flagged)
    history.accept(lab.settings.history_path, "monday")
    assert [each.cycle for each in probes_since(lab, pairs, {})] == ["monday", "tuesday"]
    assert probes_since(lab, pairs, {"training-signal": "another"}) == ()


def test_a_cycle_that_never_ran_the_gate_is_refused(lab: Lab) -> None:
    recorded(lab, "monday", 0.5, 5)
    with pytest.raises(NotComparable, match=r"cycle friday has no q4\.regression\[listening\]"):
        earlier(lab, "friday", "q4.regression", ids_of(lab))
    with pytest.raises(NotComparable, match=r"no value for 1 of 225 scenarios, the first another"):
        earlier(lab, "monday", "q4.regression", [*ids_of(lab), "another"])


def test_drift_asks_only_where_a_cycle_other_than_the_accepted_one_is_pinned(lab: Lab) -> None:
    def said(lab: Lab) -> str:
        found = known(lab, DRIFT)
        assert found is not None and found == Question(lab, study, MEASURES, known=known)(DRIFT)
        assert found.not_applicable and found.estimate is None and not lab.store.made
        return str(found.reason)

    assert said(lab) == "there is no candidate" and said(with_candidate(lab)) == "no cycle is pinned"
    recorded(lab, "monday", 0.5, 5)
    history.accept(lab.settings.history_path, "monday")
    assert said(with_candidate(lab)) == "cycle monday is both pinned and accepted: q4.regression asks this"
    recorded(lab, "tuesday", 0.5, 5)
    history.accept(lab.settings.history_path, "tuesday")
    assert pinned_cycle(with_candidate(lab)) == "monday" and pinned_cycle(lab) is None
    assert known(with_candidate(lab), DRIFT) is None and known(with_candidate(lab), REGRESSION) is None


@pytest.mark.parametrize("id", [REGRESSION, DRIFT, DETECTION])
def test_a_baseline_of_other_data_leaves_a_reason(lab: Lab, id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = with_candidate(lab)
    for cycle in ("sunday", "monday"):
        recorded(lab, cycle, 0.5, 5, base="another")
        history.accept(lab.settings.history_path, cycle)
    measurement = MEASURES[id](watched(lab, degraded=0.9))
    cycle = "sunday" if id == DRIFT else "monday"
    assert measurement.estimate is None and f"cycle {cycle} was measured with another base" in str(measurement.reason)


@pytest.mark.parametrize(("degraded", "caught"), [(0.9, True), (0.1, False)])
def test_a_chart_that_misses_the_planted_degradation_says_nothing(lab: Lab, degraded: float, caught: bool) -> None:
    measurement = MEASURES[DETECTION](watched(lab, degraded))
    assert (measurement.estimate is not None) == caught and (measurement.reason is None) == caught
    assert len(measurement.series) == 9 and len(measurement.exhibits) == 1


def test_flags_that_never_change_have_no_interval_and_are_still_shown(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flagging, "own_states", lambda study: {})
    measurement = MEASURES[FLAGGING](watched(lab, degraded=0.0, healthy=0.0))
    assert measurement.estimate is None and "no variance" in str(measurement.reason)
    assert {row["estimate"] for row in measurement.series} == {0.0}
    assert len(measurement.series) == 3 + len(lab.seeds) and len(measurement.exhibits) == 1


def test_a_share_of_an_effect_that_is_not_there_is_refused() -> None:
    rng = np.random.default_rng(0)
    nothing, domains = rng.standard_normal(64), np.repeat(np.arange(32), 2)
    found = share_of_effect(nothing + 1, nothing, domains, 0.05)
    assert found.value is None and "there is no effect to take a share of (" in str(found.reason)
    assert "the change itself is" in str(found.reason) and str(found.reason).endswith("] nats")
    assert share_of_effect(np.zeros(64), nothing, domains, 0.05).value == Estimate.exact(0.0, 64, 0.05)
    harmful = share_of_effect(nothing, nothing - 5, domains, 0.05)
    assert harmful.value is None and "(it is below 0)" in str(harmful.reason)


def test_the_effect_is_the_smaller_of_a_whole_training_and_what_the_accepted_cycle_had() -> None:
    full, weak = np.full(64, 0.6), np.full(64, 0.03)
    assert smaller(full, weak) is weak and smaller(weak, full) is weak and smaller(full, None) is full


def test_a_weak_training_cannot_be_undone_unseen() -> None:
    """5 % of the effect was accepted; the next cycle learned the opposite. In shares of a whole training that is 10 %, and passed."""
    rng = np.random.default_rng(2)
    domains, full = np.repeat(np.arange(32), 7), 0.6 + 0.3 * rng.standard_normal(224)
    weak = 0.03 + 0.02 * rng.standard_normal(224)
    change = -0.06 + 0.03 * rng.standard_normal(224)
    threshold = load_thresholds(PROJECT / "thresholds.toml").for_check(REGRESSION, "tiny-hybrid", "listening")
    assert threshold is not None

    def said(effect: np.ndarray) -> str:
        share = share_of_effect(change, effect, domains, threshold.alpha).value
        return verdict_on(Measurement(REGRESSION, "listening", "share", share), threshold).outcome

    assert (said(full), said(smaller(full, weak))) == ("pass", "fail")


@pytest.mark.parametrize(
    ("share", "answer"),
    [
        ((0.6, 1.1), "it took"),
        ((0.2, 0.45), "it took in part"),
        ((0.05, 0.7), "it took in part"),
        ((-0.05, 0.08), "less than 10% of a training"),
        ((-0.3, -0.12), "the opposite was learned"),
        ((-0.2, 0.3), None),
    ],
)
def test_whether_it_took(share: tuple[float, float], answer: str | None) -> None:
    found = learned_answer(Estimated(interval(*share)))
    assert found.words == answer and "of what the suite's own training moves" in str(found.reason)


def test_without_a_candidate_nothing_can_have_been_lost_or_learned(lab: Lab) -> None:
    for id in (REGRESSION, WORST_DOMAIN, LEARNED):
        said = known(lab, id)
        assert said is not None and said.not_applicable and "there is no candidate" in str(said.reason)
        assert known(with_candidate(lab), id) is None


def interval(low: float, high: float) -> Estimate:
    return Estimate((low + high) / 2, low, high, low, high, 0.05, 64, 32)


@pytest.mark.parametrize(
    ("gain", "cost", "answer"),
    [
        ((0.1, 0.3), (-0.01, 0.005), "healed"),
        ((0.1, 0.3), (0.02, 0.03), "healed at the cost of prose"),
        ((0.1, 0.3), (0.0, 0.03), None),
        ((-0.1, 0.3), (-0.01, 0.005), None),
        ((-0.3, -0.1), (-0.01, 0.005), "worse than random replay"),
    ],
)
def test_healed_needs_a_gain_over_random_replay_and_prose_that_holds(
    gain: tuple[float, float], cost: tuple[float, float], answer: str | None
) -> None:
    found = healing_answer(Estimated(interval(*gain)), Estimated(interval(*cost)), 0.01)
    assert found.words == answer and (found.reason is None) == (answer is not None)


def test_healing_without_an_interval_says_which_one_is_missing() -> None:
    none = Estimated(None, "no variance")
    assert healing_answer(none, Estimated(interval(-0.01, 0.005)), 0.01) == Answer(None, "no variance")
    dear = healing_answer(Estimated(interval(0.1, 0.3)), none, 0.01)
    assert dear.words is None and str(dear.reason).endswith("what prose costs is not known: no variance")
    assert healing_answer(Estimated(interval(-0.3, -0.1)), none, 0.01).words == "worse than random replay"
