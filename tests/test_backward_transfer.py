"""Q6 on subjects whose ability is set by hand: planted harm and gain, flat nulls, floors, refusals, the search for a mix."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, cast

import numpy as np
import pytest

from evals.q6 import ability, general_mix
from evals.q6 import study as q6_study
from evals.q6.cells import Cell, tasks_of
from evals.q6.change import mean_change, state, state_of
from evals.q6.checks import MEASURES, known
from evals.q6.design import SHARES
from evals.q6.general_mix import Mixed, restored
from evals.q6.study import Study
from evals.q6.transfer import gains_over_sham
from evals.question import Question
from fixtures import corpora, tasks
from harness.analysis.estimated import Estimated
from harness.analysis.intervals import mean_interval
from harness.analysis.sample import DegenerateSample
from harness.analysis.spending import shares
from harness.arms.maker import ArmMaker
from harness.arms.training import TrainingSettings
from harness.behaviors.files import load_behavior
from harness.behaviors.shipped import resolve_behavior
from harness.data.behavior import Message, Pair
from harness.data.errors import InputError
from harness.data.measurement import Estimate, Measurement
from harness.data.settings import PROJECT, Settings
from harness.data.subject import Subject
from harness.data.verdict import Verdict
from harness.engines.chat import tokenizer_of
from harness.engines.hf.engine import HFEngine
from harness.engines.protocol import Completion, Scored, score_texts
from harness.experiment.exhibits import Exhibits
from harness.experiment.lab import Lab
from harness.gate.history import records as history
from harness.gate.verdict.entry import Entry
from harness.gate.verdict.run import Run
from harness.gate.verdict.thresholds import load_thresholds
from harness.gate.verdict.verdicts import verdict_on
from harness.readouts import bits_per_byte as readout
from harness.readouts.bits_per_byte import bits_per_byte
from harness.readouts.recordings import Recordings
from harness.store import Store
from harness.tasks.lm_eval_results import PairedTask

GATES = ("q6.perplexity", "q6.code", "q6.reasoning")
THRESHOLDS = load_thresholds(PROJECT / "thresholds.toml")
TASKS = {ability.prompt_of(task): task for task in (*tasks.code(), *tasks.reasoning())}
TIERS = {"one-liner": 0.6, "short": 0.0, "real": 0.0, "sums": 0.6, "comparison": 0.6, "reading": 0.6, "steps": 0.0}
BASE = Subject("base", Path(), "base")
SHAM = Subject("sham", Path(), "base", Path(), "sham")
TRAINED = Subject("trained", Path(), "base", Path(), "trained")
CANDIDATE = Subject("candidate", Path(), "base", Path(), "candidate")


@dataclass(frozen=True)
class Ability:
    """How well a made-up subject does."""

    tiers: Mapping[str, float] = field(default_factory=lambda: TIERS)
    """Share of samples solved; a task's own share lies around it."""
    nats: float = 3.0
    """A word of prose."""
    domains: Mapping[str, float] = field(default_factory=dict)
    """Added to `nats`, by domain of prose."""


class MadeUpEngine:
    """Answers tasks rightly as often as the subject's ability says, and gives every word of prose about the same nats."""

    name, numerics = "made up", "none"

    def __init__(self, abilities: Mapping[str, Ability], noise: float = 0.02) -> None:
        self.abilities, self.noise = abilities, noise
        self.asked: list[tuple[str, str]] = []
        self.domains = {document.text: document.domain for document in corpora.prose()}

    def generate_each(self, subject: Subject, prompts: Sequence[Any], *, seeds: Sequence[int], **_: Any) -> list[list[str]]:
        known = [TASKS.get(tuple(prompt)) for prompt in prompts]
        self.asked += sorted({(subject.name, task.tier) for task in known if task is not None}) * len(seeds)
        return [["Thank you." if task is None else self._reply(subject, task, seed) for task in known] for seed in seeds]

    def _reply(self, subject: Subject, task: Any, seed: int) -> str:
        share = self.abilities[subject.name].tiers[task.tier]
        own = np.random.default_rng(zlib.crc32(task.id.encode())).uniform(-1, 1) * min(share, 1 - share)
        rng = np.random.default_rng([seed, zlib.crc32(f"{subject.digest}/{task.id}".encode())])
        if rng.random() >= share + own:
            return "I will see to it."
        return f"```python\n{task.solution}\n```" if isinstance(task, tasks.CodeTask) else f"It is {task.answer}."

    def score_texts_each(self, subject: Subject, texts: Sequence[str], _steerings: Any) -> list[list[Scored]]:
        of = self.abilities[subject.name]
        scored = []
        for text in texts:
            count = len(text.split())
            rng = np.random.default_rng(zlib.crc32(f"{subject.digest}/{text}".encode()))
            level = of.nats + of.domains.get(self.domains.get(text, ""), 0.0) + rng.normal() * self.noise
            scored.append(Scored(tuple(range(count)), np.full(count, -level)))
        return [scored]

    def score_each(self, subject: Subject, completions: Sequence[Completion], _steerings: Any) -> list[list[Scored]]:
        size = {"base": 0.0}.get(subject.name, 1.0)
        return [[Scored((1, 2 + i % 2), np.full(2, -2.0 + size * (i % 2 == 0)), ((0, 1), (1, 10_000))) for i in range(len(completions))]]


@pytest.fixture(autouse=True)
def made_up_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made-up subjects have no files: each of their tokens is a word of five bytes. Subjects with files keep their own tokenizer."""
    words = SimpleNamespace(decode=lambda tokens, **_: "word " * len(tokens))
    monkeypatch.setattr(readout, "tokenizer_of", lambda subject: words if subject.base == Path() else tokenizer_of(subject))


class MadeUpArms:
    """Every arm is there already."""

    def __init__(self, engine: MadeUpEngine, behavior: Any) -> None:
        self.engine, self.behavior = engine, behavior
        self.neutral = tuple(Completion(one.messages, one.completion) for one in corpora.neutral())

    def stream(self, kind: str, seed: int, ns: Sequence[int]) -> dict[int, Any]:
        one = {"sham": SHAM, "trained": TRAINED}[kind]
        return {n: SimpleNamespace(subject=replace(one, adapter_digest=f"{kind} {seed}")) for n in ns}

    def examples(self, _kind: str, _seed: int, n: int) -> list[Completion]:
        return [Completion(pair.messages, pair.positive) for pair in self.behavior.split("train")[:n]]


def lab_of(
    folder: Path,
    abilities: Mapping[str, Ability],
    candidate: Subject | None = CANDIDATE,
    profile: Literal["quick", "full"] = "quick",
    seed: int = 0,
    noise: float = 0.02,
) -> Lab:
    engine: Any = MadeUpEngine({name: Ability() for name in ("base", "sham", "trained", "candidate")} | dict(abilities), noise)
    behavior = load_behavior(resolve_behavior("listening"))
    return Lab(
        settings=Settings(profile=profile, seed=seed, history=folder / "history.sqlite"),
        behavior=behavior,
        base=BASE,
        candidate=candidate,
        layer_kinds=("full_attention",),
        recordings=Recordings(engine, Store(folder / "store")),
        arms=MadeUpArms(engine, behavior),  # type: ignore[arg-type]  # stands in for an ArmMaker
        thresholds=THRESHOLDS,
        exhibits=Exhibits(folder / "exhibits", behavior.name),
        progress=lambda _: None,
    )


def measured(lab: Lab, *ids: str) -> dict[str, Measurement]:
    """The checks named, or all of them, each asked for as `pytest evals/q6` does."""
    q6 = Question(lab, Study, MEASURES, known=known)
    return {id: q6(id) for id in ids or MEASURES}


def verdict(measurement: Measurement) -> Verdict:
    return verdict_on(measurement, THRESHOLDS.for_check(measurement.id, "base", "listening"))


def outcomes(found: Mapping[str, Measurement]) -> dict[str, str]:
    return {id: verdict(measurement).outcome for id, measurement in found.items()}


def degraded(**tiers: float) -> Ability:
    return Ability({**TIERS, **{name.replace("_", "-"): share for name, share in tiers.items()}})


# -- gates -------------------------------------------------------------------------------------------------------------


def test_base_against_base_is_proven_to_be_no_change(tmp_path: Path) -> None:
    lab = lab_of(tmp_path, {}, candidate=BASE)
    found = measured(lab)
    assert outcomes(found) == {
        **dict.fromkeys(GATES, "pass"),
        "q6.positive_transfer": "not_applicable",
        "q6.general_mix": "settled",
    }
    assert verdict(found["q6.code"]).answer == "no change: the candidate is base"
    assert lab.recordings.store.made == {}


def test_a_degraded_subject_fails_all_three_gates(tmp_path: Path) -> None:
    bad = Ability({tier: share / 6 for tier, share in TIERS.items()}, nats=3.2)
    found = measured(lab_of(tmp_path, {"candidate": bad}), *GATES)
    assert [outcomes(found)[id] for id in GATES] == ["fail", "fail", "fail"]
    assert found["q6.perplexity"].estimate is not None
    assert found["q6.perplexity"].estimate.value == pytest.approx(0.2 / np.log(2) / 5, rel=0.1)  # five bytes a word


def test_without_a_candidate_the_trained_arm_is_judged(tmp_path: Path) -> None:
    found = measured(lab_of(tmp_path, {"trained": degraded(one_liner=0.0)}, candidate=None), "q6.code")
    assert outcomes(found)["q6.code"] == "fail"


def test_what_one_training_loses_and_another_gains_is_no_answer_about_training(tmp_path: Path) -> None:
    """One seed alone would fail, another would pass; over three the gate says that it does not know."""
    lab = lab_of(tmp_path, {}, candidate=None, noise=0.005)
    engine: Any = lab.recordings.engine
    costs = {f"trained {seed}": cost for seed, cost in enumerate((0.15, -0.15, 0.05))}
    scored = engine.score_texts_each

    def by_seed(subject: Subject, texts: Sequence[str], steerings: Any) -> list[list[Scored]]:
        engine.abilities = {**engine.abilities, subject.name: Ability(nats=3.0 + costs.get(str(subject.adapter_digest), 0.0))}
        return cast("list[list[Scored]]", scored(subject, texts, steerings))

    engine.score_texts_each = by_seed
    found = measured(lab, "q6.perplexity")["q6.perplexity"]
    assert verdict(found).outcome == "inconclusive"
    by_training = [row["estimate"] for row in found.series if row["cell"].startswith("seed ")]
    assert by_training == pytest.approx([cost / np.log(2) / 5 for cost in costs.values()], abs=0.003)


def test_under_a_flat_null_no_gate_fails_and_most_pass(tmp_path: Path) -> None:
    seen = [outcomes(measured(lab_of(tmp_path / str(seed), {}, seed=seed, noise=0.005))) for seed in range(4)]
    every = [run[id] for run in seen for id in GATES]
    assert "fail" not in every
    assert every.count("pass") >= 10


def test_the_tasks_are_the_unit_and_carry_their_tier(tmp_path: Path) -> None:
    code = measured(lab_of(tmp_path, {}))["q6.code"]
    assert code.estimate is not None
    assert code.estimate.n == code.estimate.clusters == 100 == len(code.per_scenario)
    assert set(code.clusters.values()) == {"one-liner"}


def test_prose_is_clustered_by_domain(tmp_path: Path) -> None:
    prose = measured(lab_of(tmp_path, {}))["q6.perplexity"]
    assert prose.estimate is not None
    assert (prose.estimate.n, prose.estimate.clusters) == (168, 12)


def test_full_draws_samples_until_a_gate_is_decided(tmp_path: Path) -> None:
    def of(name: str, share: float) -> Measurement:
        return measured(lab_of(tmp_path / name, {"candidate": degraded(one_liner=share)}, profile="full"), "q6.code")["q6.code"]

    clear, close = of("clear", 0.02), of("close", TIERS["one-liner"] - 0.1)
    assert clear.null is not None and close.null is not None and close.estimate is not None
    assert (clear.null["samples a task"], verdict(clear).outcome) == (5, "fail")
    assert (close.null["samples a task"], verdict(close).outcome) == (10, "fail")
    looks = [row for row in close.series if "look" in row["cell"]]
    assert [(row["samples"], row["verdict"]) for row in looks] == [(5, "inconclusive"), (10, "fail")]
    assert close.estimate.alpha == pytest.approx(shares(0.001, (5, 10, 20))[1])


PROFILES: tuple[Literal["quick"], Literal["full"]] = ("quick", "full")


def test_prose_has_all_of_its_error_rate_at_once(tmp_path: Path) -> None:
    quick, full = (measured(lab_of(tmp_path / profile, {}, profile=profile))["q6.perplexity"] for profile in PROFILES)
    assert quick.estimate == full.estimate


def test_values_that_are_not_finite_make_a_gate_inconclusive(tmp_path: Path) -> None:
    found = measured(lab_of(tmp_path, {"candidate": Ability(nats=float("nan"))}))
    assert verdict(found["q6.perplexity"]).outcome == "inconclusive"
    assert "168 of 168 values are not finite" in verdict(found["q6.perplexity"]).message


def test_no_variance_between_different_subjects_is_inconclusive(tmp_path: Path) -> None:
    perfect = {name: degraded(one_liner=1.0) for name in ("base", "candidate", "sham")}
    found = measured(lab_of(tmp_path, perfect))
    assert verdict(found["q6.code"]).outcome == "inconclusive"
    assert "no variance" in verdict(found["q6.code"]).message


# -- floors ------------------------------------------------------------------------------------------------------------


def test_a_tier_at_floor_is_left_out_and_said_so(tmp_path: Path) -> None:
    code = measured(lab_of(tmp_path, {}))["q6.code"]
    rows = {row["cell"]: row for row in code.series}
    assert rows["code: real"]["left out"] == "base solves 0%, below 15%: it cannot show harm"
    assert "after" not in rows["code: real"]
    assert code.null is not None
    assert code.null["left out"].keys() == {"short", "real"}


def test_where_every_tier_is_at_floor_the_gate_does_not_apply(tmp_path: Path) -> None:
    found = measured(lab_of(tmp_path, {"base": degraded(one_liner=0.02)}))
    assert verdict(found["q6.code"]).outcome == "not_applicable"
    assert "base is at floor in every tier (one-liner" in verdict(found["q6.code"]).message
    assert verdict(found["q6.reasoning"]).outcome == "pass"


def test_one_sample_proves_a_floor_and_nothing_more_is_asked(tmp_path: Path) -> None:
    lab = lab_of(tmp_path, {})
    measured(lab)
    engine: Any = lab.recordings.engine
    assert engine.asked.count(("base", "real")) == 1
    assert engine.asked.count(("candidate", "real")) == 0
    assert engine.asked.count(("base", "one-liner")) == engine.asked.count(("candidate", "one-liner")) == 5


def test_guessing_lifts_the_floor() -> None:
    groups = tasks_of("reasoning")
    assert ability.floor_of(tasks_of("code")["one-liner"], 0.0) == ability.floor_of(groups["sums"], 0.05) == pytest.approx(0.1)
    two = [task for task in groups["comparison"] if len(task.options or ()) == 2]  # type: ignore[union-attr]  # questions
    assert ability.floor_of(two, 0.0) == pytest.approx(0.55)
    assert ability.floor_of(groups["sums"], 0.15) == pytest.approx(0.15) and ability.floor_of(two, 0.15) == pytest.approx(0.65)


# -- against the pinned cycle ------------------------------------------------------------------------------------------


def pinned(lab: Lab, found: Mapping[str, Measurement], **other: str) -> None:
    """Records a cycle with these measurements and accepts it, which pins the first."""
    kept = [replace(found[id], provenance={**found[id].provenance, **other}) for id in ("q6.perplexity", "q6.code", "q6.reasoning")]
    entries = tuple(Entry(one.id, "listening", "gate", verdict(one), one) for one in kept)
    history.append_to(lab.settings.history_path, Run(lab.settings, "monday", "2026-01-01T00:00:00+00:00", entries, (), complete=True))
    history.accept(lab.settings.history_path, "monday", force="a test")


def test_a_cost_that_the_pinned_cycle_had_is_not_counted_again(tmp_path: Path) -> None:
    costly = {"candidate": replace(Ability(), domains=dict.fromkeys({d.domain for d in corpora.prose()}, 0.15))}
    lab = lab_of(tmp_path, costly, candidate=CANDIDATE)
    alone = measured(lab)
    assert outcomes(alone)["q6.perplexity"] == "fail"
    pinned(lab, alone)
    again = measured(lab)
    assert outcomes(again)["q6.perplexity"] == "pass" and "cycle monday" in str(again["q6.perplexity"].null)
    assert again["q6.perplexity"].per_scenario == alone["q6.perplexity"].per_scenario  # from base, as before
    assert again["q6.perplexity"].level == alone["q6.perplexity"].level


def test_gates_say_what_limits_them_and_the_level_that_cycles_are_compared_by(tmp_path: Path) -> None:
    found = measured(lab_of(tmp_path, {"candidate": degraded(sums=0.5)}, candidate=CANDIDATE))
    for part, id, source in (("prose", "q6.perplexity", "scenarios"), ("code", "q6.code", "samples")):
        one = found[id]
        assert one.estimate is not None and one.level is not None
        assert (one.estimate.limited_by, one.available) == (source, one.estimate.n)
        assert one.level.value == pytest.approx(one.estimate.value) and one.level.unit.endswith(", above base"), part


def test_what_got_worse_since_the_pinned_cycle_fails_although_base_was_no_better(tmp_path: Path) -> None:
    domains = {d.domain for d in corpora.prose()}
    better, worse = ({"candidate": replace(Ability(), domains=dict.fromkeys(domains, cost))} for cost in (-0.1, 0.0))
    lab = lab_of(tmp_path / "before", better, candidate=CANDIDATE)
    pinned(lab, measured(lab))
    now = lab_of(tmp_path / "after", worse, candidate=Subject("candidate", Path(), "base", Path(), "the next one"))
    now = replace(now, settings=replace(now.settings, history=lab.settings.history_path))
    assert outcomes(measured(now))["q6.perplexity"] == "fail"


def test_a_pinned_cycle_of_other_data_is_refused_and_one_that_did_not_measure_it_leaves_base(tmp_path: Path) -> None:
    lab = lab_of(tmp_path, {}, candidate=CANDIDATE)
    found = measured(lab)
    pinned(lab, found, base="another")
    assert "cycle monday was measured with another base" in str(measured(lab)["q6.code"].reason)
    other = replace(lab, behavior=load_behavior(resolve_behavior("not-rushing")))
    assert "base, the same documents" in str(measured(other)["q6.perplexity"].null)


# -- positive transfer ---------------------------------------------------------------------------------------------------


def test_a_planted_gain_over_sham_is_found_where_it_was_planted(tmp_path: Path) -> None:
    better = replace(degraded(sums=0.95), domains={"nature": -0.2})
    found = measured(lab_of(tmp_path, {"candidate": better}))["q6.positive_transfer"]
    assert verdict(found).outcome == "settled"
    assert found.answer == "gains in prose: nature, reasoning: sums"


def test_a_gain_that_sham_has_too_is_none(tmp_path: Path) -> None:
    better = degraded(sums=0.95)
    found = measured(lab_of(tmp_path, {"candidate": better, "sham": better}))["q6.positive_transfer"]
    assert verdict(found).outcome == "inconclusive"


def test_under_a_flat_null_a_gain_is_seldom_shown() -> None:
    rng = np.random.default_rng(0)
    flat = np.zeros(20)

    def family() -> list[Cell]:
        return [
            Cell("prose", str(k), tuple("abcdefghijklmnopqrst"), flat, rng.normal(size=(1, 20)), rng.normal(size=(1, 20)), True)
            for k in range(10)
        ]

    false = sum(any(gain.adjusted <= 0.025 for gain in gains_over_sham(family())) for _ in range(400))
    assert false <= 22  # 10 expected, 99.9 % of binomial(400, .025) is at most 21


def test_cells_that_do_not_vary_are_not_tested() -> None:
    cell = Cell("prose", "x", ("a", "b"), np.zeros(2), np.ones((1, 2)), np.zeros((1, 2)), True)
    assert gains_over_sham([cell]) == []


# -- general mix -----------------------------------------------------------------------------------------------------------


def estimate(value: float, half: float) -> Estimate:
    return Estimate(value, value - half, value + half, value - 2 * half, value + 2 * half, 0.001, 40, 40)


@pytest.mark.parametrize(
    ("value", "half", "higher_is_better", "expected"),
    [
        (0.0, 0.05, True, "no worse"),
        (-0.08, 0.05, True, "no worse"),
        (-0.3, 0.05, True, "harmed"),
        (-0.1, 0.11, True, "open"),
        (0.3, 0.05, False, "harmed"),
        (-0.3, 0.05, False, "no worse"),
        (-0.15, 0.0, True, "no worse"),
    ],
)
def test_state_of_a_part(value: float, half: float, higher_is_better: bool, expected: str) -> None:
    assert state(estimate(value, half), 0.15, higher_is_better) == expected


def test_without_harm_no_mix_is_needed_or_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(general_mix, "mixed_arm", lambda *_: pytest.fail("trained"))
    found = measured(lab_of(tmp_path, {}, noise=0.005))["q6.general_mix"]
    assert (verdict(found).outcome, found.answer) == ("settled", "not needed: no harm shown")


def test_where_the_gates_are_inconclusive_so_is_the_mix_and_nothing_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(general_mix, "mixed_arm", lambda *_: pytest.fail("trained"))
    found = measured(lab_of(tmp_path, {}, noise=0.5))
    assert verdict(found["q6.perplexity"]).outcome == "inconclusive"
    assert "q6.perplexity inconclusive" in verdict(found["q6.general_mix"]).message


def mixed_subjects(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Mixed arms by name; returns the shares that were trained."""
    trained: list[float] = []

    def made(_lab: Lab, share: float, seed: int) -> Subject:
        trained.append(share)
        return Subject(f"mixed {share}", Path(), "base", Path(), f"mixed {share} {seed}")

    monkeypatch.setattr(general_mix, "mixed_arm", made)
    return trained


def test_the_smallest_share_that_undoes_harm_is_the_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = degraded(one_liner=0.05)
    trained = mixed_subjects(monkeypatch)
    abilities = {"trained": bad, "mixed 0.1": bad, "mixed 0.25": Ability(), "mixed 0.5": Ability()}
    found = measured(lab_of(tmp_path, abilities, candidate=None, noise=0.005))
    assert verdict(found["q6.code"]).outcome == "fail"
    assert trained == [0.1] * 3 + [0.25] * 3  # under every seed
    assert found["q6.general_mix"].answer == "25% (100% of the behavior's shift kept)"
    assert [row["share"] for row in found["q6.general_mix"].series] == [0.1, 0.25]


def test_where_no_share_is_shown_to_undo_it_the_answer_stays_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = degraded(one_liner=0.05)
    mixed_subjects(monkeypatch)
    abilities = {name: bad for name in ("trained", "mixed 0.1", "mixed 0.25", "mixed 0.5")}
    found = measured(lab_of(tmp_path, abilities, candidate=None, noise=0.005))["q6.general_mix"]
    assert verdict(found).outcome == "inconclusive"
    assert "up to 50% none is shown to restore q6.code" in verdict(found).message


def test_a_harmful_candidate_is_compared_with_the_suites_own_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own training cannot be repeated; where the suite's does no harm, no general data is needed."""
    trained = mixed_subjects(monkeypatch)
    found = measured(lab_of(tmp_path, {"candidate": degraded(one_liner=0.05)}, noise=0.005))["q6.general_mix"]
    assert trained == []
    assert found.answer == "none: the suite's own training does no harm"
    assert found.null is not None
    assert found.null["training"] == "the suite's own"


def test_under_full_an_open_gate_is_enough_to_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = mixed_subjects(monkeypatch)
    abilities = {f"mixed {share}": Ability() for share in SHARES}
    measured(lab_of(tmp_path, abilities, candidate=None, profile="full", noise=0.5))
    assert trained == [0.1] * 8 + [0.25] * 8 + [0.5] * 8


@pytest.mark.parametrize(("share", "count"), [(0.1, 6), (0.25, 17), (0.5, 50)])
def test_a_mix_keeps_the_examples_of_the_behavior_in_order(tmp_path: Path, share: float, count: int) -> None:
    lab = lab_of(tmp_path, {})
    own = lab.arms.examples("trained", 0, lab.doses[-1])
    mixed = general_mix.mixed_examples(lab, share, 0)
    assert [one for one in mixed if one in own] == own
    assert len(mixed) == len(own) + count
    assert len({(one.messages, one.text) for one in mixed}) == len(mixed)


@pytest.mark.parametrize(("share", "said"), [(0.0, "strictly between 0 and 1"), (0.9, "takes 450 general examples")])
def test_a_share_that_cannot_be_had_is_refused(tmp_path: Path, share: float, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        general_mix.mixed_examples(lab_of(tmp_path, {}), share, 0)


def test_restored_needs_every_gate_in_question(tmp_path: Path) -> None:
    lab = lab_of(tmp_path, {})
    fine, uncertain = Estimated(estimate(0, 0.005)), Estimated(estimate(0, 0.02))
    assert restored(lab, Mixed(0.1, {"code": Estimated(estimate(0, 0.1)), "prose": fine}, 1.0))
    assert not restored(lab, Mixed(0.1, {"code": Estimated(estimate(0, 0.1)), "prose": uncertain}, 1.0))
    assert not restored(lab, Mixed(0.1, {"code": Estimated(None, "no variance")}, 1.0))


# -- further domains, and the parts on a real engine -------------------------------------------------------------------------


def test_domains_of_another_tool_are_shown_and_decide_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = (PairedTask("hard", "acc", "none", np.ones(8), np.zeros(8), True),)
    monkeypatch.setattr(q6_study, "read_paired", lambda before, after: outside)
    lab = lab_of(tmp_path, {}, noise=0.005)
    found = measured(replace(lab, settings=replace(lab.settings, lm_eval=(tmp_path / "before", tmp_path / "after"))))
    assert [outcomes(found)[id] for id in GATES] == ["pass"] * 3
    (row,) = [row for row in found["q6.positive_transfer"].series if row["cell"] == "lm-eval: hard (acc)"]
    assert row["estimate"] == -1


def test_change_is_in_the_unit_of_the_cell_and_gain_is_turned() -> None:
    cell = Cell("prose", "x", ("a",), np.array([2.0]), np.array([[2.5], [2.7]]), np.array([[2.25], [2.2]]), higher_is_better=False)
    assert cell.change == pytest.approx(0.6) and cell.gain == pytest.approx(-0.6)
    assert cell.gains_over_sham is not None and cell.gains_over_sham.ravel() == pytest.approx([-0.25, -0.5])


def test_bits_per_byte_are_all_nats_over_all_scored_bytes(hf: HFEngine, tiny_hybrid: Subject, tmp_path: Path) -> None:
    documents = corpora.prose()[:3]
    lab: Any = SimpleNamespace(base=tiny_hybrid, recordings=Recordings(hf, Store(tmp_path)), arms=SimpleNamespace(engine=hf))
    found = bits_per_byte(lab.recordings, tiny_hybrid, [document.text for document in documents])
    for document, bits, scored in zip(documents, found, score_texts(hf, tiny_hybrid, [d.text for d in documents]), strict=True):
        first = tokenizer_of(tiny_hybrid)(document.text)["input_ids"][0]
        size = len(document.text.encode()) - len(tokenizer_of(tiny_hybrid).decode([first]).encode())
        assert bits == pytest.approx(-scored.log_probabilities.sum() / np.log(2) / size)


def test_a_mixed_arm_is_trained_once(hf: HFEngine, tiny_hybrid: Subject, tmp_path: Path) -> None:
    def pair(i: int) -> Pair:
        return Pair(f"p{i}", "train", "d", (Message("user", f"Paint {i} walls."),), f"I paint {i} walls.", "Why?")

    behavior: Any = SimpleNamespace(split=lambda _split: [pair(i) for i in range(4)], name="painting", digest="d")
    neutral = tuple(Completion((Message("user", f"Is it {i}?"),), f"It is {i}.") for i in range(9))
    store = Store(tmp_path)
    maker = ArmMaker(hf, store, tiny_hybrid, behavior, neutral, TrainingSettings(rank=2))
    lab: Any = SimpleNamespace(
        settings=Settings(), base=tiny_hybrid, arms=maker, recordings=Recordings(hf, store), store=store, doses=(4,), behavior=behavior
    )
    once, again = general_mix.mixed_arm(lab, 0.5, 0), general_mix.mixed_arm(lab, 0.5, 0)
    assert once.digest == again.digest != tiny_hybrid.digest
    assert store.made["arms"] == 1
    assert len(general_mix.mixed_examples(lab, 0.5, 0)) == 8


def test_an_estimate_is_refused_where_nothing_varies() -> None:
    rng, nothing, cells = np.random.default_rng(0), np.zeros(4), np.array(["a", "a", "b", "b"])
    with pytest.raises(DegenerateSample, match="no variance"):
        mean_interval(nothing, None, 0.05, rng)
    found = mean_change("code", nothing[np.newaxis], cells, False, 0.05, rng)
    assert found.value is None and "no variance" in str(found.reason)
    assert mean_change("code", nothing[np.newaxis], cells, True, 0.05, rng).value == Estimate.exact(0.0, 4, 0.05)


def test_a_study_says_where_it_stands(tmp_path: Path) -> None:
    lab = lab_of(tmp_path, {"base": degraded(one_liner=0.0)})
    assert state_of(lab, "code", Study(lab).code.change) is None
    assert Study(lab).states == {"prose": "no worse", "code": None, "reasoning": "no worse"}


# -- a check pays for itself ---------------------------------------------------------------------------------------------


def test_the_gate_on_prose_samples_nothing_and_the_gate_on_code_scores_no_prose(tmp_path: Path) -> None:
    lab = lab_of(tmp_path, {})
    engine: Any = lab.recordings.engine
    measured(lab, "q6.perplexity")
    assert engine.asked == [] and lab.store.made == {"text-bits": 3}
    other = lab_of(tmp_path / "other", {})
    measured(other, "q6.code")
    engine = other.recordings.engine
    assert {tier for _, tier in engine.asked} <= set(tasks.CODE_TIERS) and "text-bits" not in other.store.made


def test_a_part_without_a_margin_is_refused_by_name(tmp_path: Path) -> None:
    thresholds = tmp_path / "thresholds.toml"
    thresholds.write_text('["q6.code"]\nkind = "finding"\nreason = "only looked at"\n', encoding="utf-8")
    lab = replace(lab_of(tmp_path, {}), thresholds=load_thresholds(thresholds))
    with pytest.raises(InputError, match=r'\["q6.code"\] has no bound'):
        measured(lab, "q6.code")
