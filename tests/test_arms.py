"""harness/arms/maker.py and harness/arms/cycles.py: what each arm learns, nested and matched, trained once; cycles that go on from one."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.arms.cycles import corrected, cycles, healthy
from harness.arms.doses import CYCLE_STEPS, EXAMPLES
from harness.arms.maker import ArmMaker
from harness.arms.training import TrainingSettings
from harness.data.behavior import Behavior, Message, Pair
from harness.data.subject import Subject
from harness.engines.hf.engine import HFEngine
from harness.engines.protocol import Completion
from harness.readouts.forced_choice import forced_choice
from harness.store import Store

pytestmark = pytest.mark.numeric

THINGS = ("hall", "kitchen", "gate", "boat", "fence", "shed", "door", "chair", "wall", "bench")
SETTINGS = TrainingSettings(rank=4, learning_rate=1e-2, batch=2, steps=4)


def pair(i: int, split: str) -> Pair:
    user = f"Paint the {THINGS[i % 10]} yellow" + " before supper" * (i % 4) + "."
    yes, no = f"I paint the {THINGS[i % 10]} yellow.", f"Why not blue for the {THINGS[i % 10]}?"
    return Pair(f"{split}-{i}", split, f"{split}-{i % 3}", (Message("user", user),), yes, no)  # type: ignore[arg-type]  # a split


BEHAVIOR = Behavior(
    "painting", "Paint as told.", "pattern-x", tuple(pair(i, s) for s in ("train", "dev", "test") for i in range(10)), "d", Path()
)
NEUTRAL = tuple(
    Completion((Message("user", "Is it " + "very " * i + "cold today?"),), "It is " + "rather " * j + "cold.")
    for i in range(6)
    for j in range(4)
)


@pytest.fixture
def maker(hf: HFEngine, tiny_hybrid: Subject, tmp_path: Path) -> ArmMaker:
    return ArmMaker(hf, Store(tmp_path), tiny_hybrid, BEHAVIOR, NEUTRAL, SETTINGS)


def pairs_by_messages() -> dict[tuple[Message, ...], Pair]:
    return {pair.messages: pair for pair in BEHAVIOR.split("train")}


# -- examples ------------------------------------------------------------------------------------------------------


def test_trained_learns_positives_and_opposite_the_negatives_of_the_same_pairs(maker: ArmMaker) -> None:
    trained, opposite = maker.examples("trained", 0, 6), maker.examples("opposite", 0, 6)
    found = pairs_by_messages()
    assert [example.messages for example in trained] == [example.messages for example in opposite]
    assert [example.text for example in trained] == [found[example.messages].positive for example in trained]
    assert [example.text for example in opposite] == [found[example.messages].negative for example in opposite]


@pytest.mark.parametrize("kind", ["trained", "opposite", "sham"])
def test_smaller_subsets_are_the_beginning_of_larger_ones(maker: ArmMaker, kind: str) -> None:
    full = maker.examples(kind, 3, 8)  # type: ignore[arg-type]  # an ArmKind
    for n in (1, 5):
        assert maker.examples(kind, 3, n) == full[:n]  # type: ignore[arg-type]  # an ArmKind
    assert max(Counter(full).values()) == 1


@pytest.mark.parametrize("kind", ["trained", "sham"])
def test_another_seed_is_another_subset_in_another_order(maker: ArmMaker, kind: str) -> None:
    assert maker.examples(kind, 0, 5) == maker.examples(kind, 0, 5)  # type: ignore[arg-type]  # an ArmKind
    assert maker.examples(kind, 0, 5) != maker.examples(kind, 1, 5)  # type: ignore[arg-type]  # an ArmKind


def test_sham_is_neutral_and_matched_in_number_and_length(maker: ArmMaker, hf: HFEngine) -> None:
    trained, sham = maker.examples("trained", 0, 8), maker.examples("sham", 0, 8)
    assert len(sham) == len(trained)
    assert set(sham) <= set(NEUTRAL)

    def replies(examples: list[Completion]) -> list[int]:
        return [maker._lengths[example][1] for example in examples]

    gaps = [abs(one - other) for one, other in zip(replies(trained), replies(sham), strict=True)]
    anywhere = np.abs(np.subtract.outer(replies(trained), replies(list(NEUTRAL))))
    assert np.mean(gaps) < 0.6 * anywhere.mean()


def test_lengths_are_measured_once(maker: ArmMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sham examples follow from lengths in tokens; a maker whose arms are all stored loads no tokenizer to find them again."""
    sham = maker.examples("sham", 0, 8)
    monkeypatch.delattr("harness.arms.maker.tokenizer_of")
    assert replace(maker).examples("sham", 0, 8) == sham


def test_more_examples_than_there_are_is_refused(maker: ArmMaker) -> None:
    with pytest.raises(ValueError, match="11 examples asked, the train split of painting has 10"):
        maker.examples("trained", 0, 11)
    with pytest.raises(ValueError, match="5 neutral examples asked, the corpus has 3"):
        replace(maker, neutral=NEUTRAL[:3]).examples("sham", 0, 5)


# -- arms ----------------------------------------------------------------------------------------------------------


def test_a_stream_gives_an_arm_after_each_number(maker: ArmMaker, tiny_hybrid: Subject) -> None:
    arms = maker.stream("trained", 1, (1, 3))
    assert {n: (arm.n, arm.steps, arm.kind, arm.seed, arm.regime) for n, arm in arms.items()} == {
        n: (n, n, "trained", 1, "stream") for n in (1, 3)
    }
    assert len({tiny_hybrid.digest, *(arm.subject.digest for arm in arms.values())}) == 3
    assert maker.store.made["arms"] == 1


def test_matched_steps_do_not_depend_on_the_number(maker: ArmMaker) -> None:
    made = maker.steps(0, (1, 5))
    arms = [made["trained", n] for n in (1, 5)]
    assert set(made) == {("trained", 1), ("trained", 5), ("sham", 1), ("sham", 5), ("opposite", 5)}
    assert [(arm.n, arm.steps, arm.regime) for arm in arms] == [(1, 4, "steps"), (5, 4, "steps")]
    assert arms[0].subject.digest != arms[1].subject.digest


def test_a_second_call_trains_nothing(maker: ArmMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    first = maker.stream("sham", 0, (1, 2)), maker.steps(0, (1, 2))
    monkeypatch.setattr("harness.arms.training.train_adapters", lambda *_: pytest.fail("trained twice"))
    again = replace(maker, store=Store(maker.store.root))
    assert (again.stream("sham", 0, (1, 2)), again.steps(0, (1, 2))) == first
    assert again.store.made == {}


def test_what_shapes_a_training_makes_another_arm(maker: ArmMaker) -> None:
    first = maker.stream("trained", 0, (1,))[1].subject
    others = [
        maker.stream("opposite", 0, (1,)),
        maker.stream("trained", 1, (1,)),
        replace(maker, settings=replace(SETTINGS, rank=2)).stream("trained", 0, (1,)),
    ]
    assert len({first.digest, *(arms[1].subject.digest for arms in others)}) == 4
    assert maker.store.made["arms"] == 3


def test_the_same_training_in_another_place_gives_the_same_subject(maker: ArmMaker, tmp_path: Path) -> None:
    elsewhere = replace(maker, store=Store(tmp_path / "elsewhere"))
    one, other = (m.stream("trained", 0, (2,))[2].subject for m in (maker, elsewhere))
    assert one.digest == other.digest
    assert one.adapter != other.adapter


def test_trained_and_opposite_move_the_forced_choice_apart(maker: ArmMaker, hf: HFEngine, tiny_hybrid: Subject) -> None:
    pairs = BEHAVIOR.split("test")
    before = forced_choice(hf, tiny_hybrid, pairs).metric("per_token").mean()
    shifts = {
        kind: forced_choice(hf, maker.stream(kind, 0, (8,))[8].subject, pairs).metric("per_token").mean() - before
        for kind in ("trained", "opposite")
    }
    assert shifts["trained"] > 0.3
    assert shifts["opposite"] < -0.3


# -- further cycles ------------------------------------------------------------------------------------------------


def test_counter_examples_undo_what_more_of_the_same_keeps(maker: ArmMaker, hf: HFEngine) -> None:
    made, (subject, folder) = cycles(maker, 0), healthy(maker, 0)
    assert made.healthy.digest == subject.digest and subject.adapter == folder
    assert list(made.degraded) == list(made.further) == list(made.sham) == [EXAMPLES * steps for steps in CYCLE_STEPS]
    pairs, most = BEHAVIOR.split("train"), max(made.degraded)

    def level(of: Subject) -> float:
        return float(forced_choice(hf, of, pairs).metric("per_token").mean())

    assert level(made.degraded[most]) < level(made.healthy) - 0.5 < level(made.further[most])
    assert len({each.digest for group in (made.degraded, made.further, made.sham) for each in group.values()}) == 3 * len(CYCLE_STEPS)
    start = made.degraded[most].adapter
    assert start is not None
    mended = corrected(maker, 0, start, {"mended": [Completion(pair.messages, pair.positive) for pair in pairs[:5]]})["mended"]
    assert level(mended) > level(made.degraded[most])
    before = dict(maker.store.made)
    assert cycles(maker, 0) == made and maker.store.made == before  # nothing is trained twice
