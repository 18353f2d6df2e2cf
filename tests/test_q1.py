"""What a check of Q1 pays for, on made-up arms: knee and onset train the stream and score it, and do nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from evals.q1.checks import MEASURES, known
from evals.q1.design import ATTENTION, EFFECT, KINDS, KNEE, ONSET, STREAM_SEEDS
from evals.q1.study import Study
from evals.question import Question
from harness.data.arm import Arm, ArmKind
from harness.data.behavior import Pair
from harness.data.subject import Subject
from harness.readouts.forced_choice import METRICS, ForcedChoice
from harness.store import Store
from tests.bench import bare_lab


class TooMuch(Exception):
    """Something was asked for that costs more than the check at hand needs."""


@dataclass
class Made:
    """Arms and recordings that write down what was asked of them. An arm's log-odds follow from kind and number of examples."""

    slope: float
    """Log-odds a trained arm gains with every example."""
    scatter: float
    store: Store
    engine: Any = field(default_factory=lambda: SimpleNamespace(name="hf", numerics="made up"))
    trained: list[tuple[str, ArmKind, int]] = field(default_factory=list)
    """Regime, kind and seed of every training asked for."""
    scored: set[tuple[str, int]] = field(default_factory=set)
    """Kind and number of examples of every arm scored."""

    def stream(self, kind: ArmKind, seed: int, ns: Sequence[int]) -> dict[int, Arm]:
        self.trained.append(("stream", kind, seed))
        return {n: self._arm(kind, n, seed) for n in ns}

    def steps(self, seed: int, ns: Sequence[int]) -> dict[tuple[ArmKind, int], Arm]:
        raise TooMuch("matched steps")

    def _arm(self, kind: ArmKind, n: int, seed: int) -> Arm:
        return Arm(Subject(f"{kind} {n} {seed}", Path(), "base", Path(), f"{kind} {n} {seed}"), kind, n, seed, n)

    def forced_choice(self, subject: Subject, pairs: Sequence[Pair]) -> ForcedChoice:
        if subject.name == "base":
            return ForcedChoice(dict.fromkeys(METRICS, np.zeros(len(pairs))))
        kind, n, seed = subject.name.split()
        self.scored.add((kind, int(n)))
        rng = np.random.default_rng([KINDS.index(kind), int(n), int(seed)])
        values = self.scatter * rng.standard_normal(len(pairs)) + (self.slope * int(n) if kind == "trained" else 0.0)
        return ForcedChoice(dict.fromkeys(METRICS, values))

    def recorded(self, *asked: Any) -> Any:
        raise TooMuch("a view inside")

    def replies(self, *asked: Any) -> Any:
        raise TooMuch("replies")


Asked = Callable[..., tuple[Question[Study], Made]]


@pytest.fixture
def q1_of(tmp_path: Path) -> Asked:
    def of(slope: float = 0.02, scatter: float = 0.1, kinds: tuple[str, ...] = ("full_attention",)) -> tuple[Question[Study], Made]:
        made: Any = Made(slope, scatter, Store(tmp_path))
        lab = replace(bare_lab(tmp_path, "quick"), layer_kinds=kinds, arms=made, recordings=made)
        return Question(lab, Study, MEASURES, known=known), made

    return of


def only_the_stream(made: Made) -> bool:
    return made.trained == [("stream", kind, seed) for seed in range(STREAM_SEEDS) for kind in KINDS]


@pytest.mark.parametrize("id", [KNEE, ONSET])
def test_knee_and_onset_train_the_stream_and_score_trained_and_sham(q1_of: Asked, id: str) -> None:
    q1, made = q1_of()
    assert q1(id).answer is not None
    assert only_the_stream(made)
    assert made.scored == {(kind, n) for kind in ("trained", "sham") for n in (1, 5, 10, 20, 50)}


def test_attention_looks_inside_at_the_most_examples_and_scores_nothing(q1_of: Asked) -> None:
    q1, made = q1_of()
    with pytest.raises(TooMuch, match="a view inside"):
        q1(ATTENTION)
    assert only_the_stream(made) and made.scored == set()


def test_the_effect_alone_asks_for_the_whole_sweep(q1_of: Asked) -> None:
    q1, made = q1_of()
    with pytest.raises(TooMuch):
        q1(EFFECT)
    assert only_the_stream(made)


def test_the_stream_has_eight_seeds_and_matched_steps_one_whatever_the_profile(tmp_path: Path) -> None:
    class WithSteps(Made):
        def steps(self, seed: int, ns: Sequence[int]) -> dict[tuple[ArmKind, int], Arm]:
            self.trained.append(("steps", "trained", seed))
            return {(kind, n): self._arm(kind, n, seed) for kind in ("trained", "sham") for n in ns}

    for profile in ("quick", "full"):
        made: Any = WithSteps(0.02, 0.1, Store(tmp_path))
        study = Study(replace(bare_lab(tmp_path, profile), arms=made, recordings=made))
        assert [arm.seed for arm in study.arms("stream")["trained", 5]] == list(range(8))
        assert [arm.seed for arm in study.arms("stream")["opposite", 50]] == list(range(8))
        assert [arm.seed for arm in study.arms("steps")["sham", 1]] == [0]
        assert len(made.trained) == 8 * len(KINDS) + 1


def test_without_attention_weights_there_is_nothing_to_train_for(q1_of: Asked) -> None:
    q1, made = q1_of(kinds=("linear_attention",))
    found = q1(ATTENTION)
    assert found.not_applicable and found.reason == "the model has no full-attention layers"
    assert made.trained == []


@pytest.mark.parametrize("id", [KNEE, ONSET])
def test_trainings_that_all_say_the_same_conclude_nothing(q1_of: Asked, id: str) -> None:
    q1, _ = q1_of(scatter=0.0)
    found = q1(id)
    assert found.estimate is None and found.answer is None and "no variance between seeds" in str(found.reason)


def test_without_an_effect_there_is_no_knee_and_the_mode_is_nightly(q1_of: Asked) -> None:
    q1, _ = q1_of(slope=0.0)
    assert q1(KNEE).estimate is None and "is not shown to be above 0" in str(q1(KNEE).reason)
    assert q1(ONSET).answer == "nightly (no effect over sham is shown; stream regime)"
