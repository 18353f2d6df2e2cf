"""harness/arms/ladder.py: the rung of the right size is found with few looks, and what is out of reach is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.arms.ladder import RUNGS, SHORT, _plan, in_shape_of, ladders, sham_sized, sham_sized_each, unmatched
from harness.arms.maker import ArmMaker
from harness.arms.training import TrainingSettings
from harness.data.arm import Arm
from harness.data.behavior import Behavior, Message
from harness.data.subject import Subject
from harness.engines.hf.engine import HFEngine
from harness.engines.protocol import Completion
from harness.store import Store

if TYPE_CHECKING:
    from tests.conftest import MakeAdapter

BASE = Subject("base", Path("base"), "digest", None, None, False)
LADDER = {n: Arm(replace(BASE, name=str(n)), "sham", n, 0, n, "stream") for n in RUNGS}


def root_of_steps(looks: list[str]) -> object:
    def size(subject: Subject) -> float:
        looks.append(subject.name)
        return float(int(subject.name) ** 0.5)

    return size


@pytest.mark.parametrize("wanted", [2.1, 3.0, 5.5, 9.9])
def test_every_size_in_reach_is_matched_with_few_looks(wanted: float) -> None:
    looks: list[str] = []
    rung = sham_sized(LADDER, wanted, root_of_steps(looks))  # type: ignore[arg-type]  # a size
    assert rung.matched
    assert len(looks) <= 7
    assert unmatched([rung]) is None


def test_growth_by_fits_and_starts_is_matched_too() -> None:
    """The size falls back where bisection would turn the wrong way."""
    sizes = {n: n**0.5 * (0.8 if 50 < n < 80 else 1.0) for n in RUNGS}
    assert sham_sized(LADDER, 6.6, lambda one: sizes[int(one.name)]).matched


@pytest.mark.parametrize(("wanted", "nearest"), [(0.5, RUNGS[0]), (40.0, RUNGS[-1])])
def test_sizes_out_of_reach_are_said(wanted: float, nearest: int) -> None:
    rung = sham_sized(LADDER, wanted, root_of_steps([]))  # type: ignore[arg-type]  # a size
    assert (rung.arm.n, rung.matched) == (nearest, False)
    assert "1 of 1 sham ladders have no rung within 10 %" in str(unmatched([rung]))


@pytest.fixture
def maker(hf: HFEngine, tiny_hybrid: Subject, tmp_path: Path) -> ArmMaker:
    neutral = tuple(Completion((Message("user", f"Is it {word} today?"),), f"It is {word}.") for word in ("cold", "warm", "dark"))
    behavior = Behavior("none", "", "pattern-x", (), "d", Path())
    return ArmMaker(hf, Store(tmp_path), tiny_hybrid, behavior, neutral, TrainingSettings(rank=2))


def test_a_ladder_is_trained_once_and_knows_no_behavior(maker: ArmMaker) -> None:
    first = ladders(maker, (0, 1))
    assert {tuple(ladder) for ladder in first.values()} == {RUNGS}
    assert len({arm.subject.digest for ladder in first.values() for arm in ladder.values()}) == 2 * len(RUNGS)
    other = replace(maker, behavior=replace(maker.behavior, name="other"), store=Store(maker.store.root))
    assert ladders(other, (0, 1)) == first
    assert other.store.made == {}


def test_a_ladder_goes_on_to_its_end_only_for_the_seed_whose_size_lies_beyond(monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[tuple[tuple[int, ...], int]] = []

    def made(maker: object, seeds: Sequence[int], rungs: Sequence[int] = RUNGS) -> dict[int, dict[int, Arm]]:
        trained.append((tuple(seeds), rungs[-1]))
        return {seed: {n: replace(LADDER[n], seed=seed) for n in rungs} for seed in seeds}

    monkeypatch.setattr("harness.arms.ladder.ladders", made)
    nobody: Any = None
    found = sham_sized_each(nobody, (0, 1, 2), {0: 5.0, 1: 11.2}, root_of_steps([]))  # type: ignore[arg-type]  # a size
    assert [(rung.arm.seed, rung.matched) for rung in found] == [(0, True), (1, True)]
    assert found[0].arm.n <= SHORT[-1] < found[1].arm.n
    assert trained == [((0, 1, 2), SHORT[-1]), ((1,), RUNGS[-1])]


def test_a_short_ladder_is_the_start_of_a_longer_one(maker: ArmMaker) -> None:
    short, whole = (_plan(maker, 3, steps).schedule for steps in (SHORT[-1], RUNGS[-1]))
    assert len(short) == 85 and short == whole[:85]


def test_the_ladder_takes_a_candidates_shape(maker: ArmMaker, make_adapter: MakeAdapter, tiny_hybrid: Subject, tmp_path: Path) -> None:
    candidate = make_adapter(tiny_hybrid, tmp_path / "candidate", ["q_proj", "v_proj"])
    shaped, words = in_shape_of(maker, candidate)
    assert (shaped.settings.rank, shaped.settings.target_modules) == (2, ("q_proj", "v_proj"))
    assert words == "the candidate's rank and modules"
    full = replace(tiny_hybrid, base_digest="another")
    assert in_shape_of(maker, full) == (maker, "LoRA ladder for full weights")
    assert in_shape_of(maker, None) == (maker, "the suite's own shape")
