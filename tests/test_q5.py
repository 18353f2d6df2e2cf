"""evals/q5: a layer at which the vector stands out goes before one at which any vector moves the choice; what an answer rests on;
what a check pays for."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from evals.q5.sweep import Sweep, sweep

from evals.q5.checks import MEASURES, steerable
from evals.q5.design import ANTI_STEERABLE, COHERENCE, ENGINE_PARITY, OVERCOMPLIANCE, SIGN, VIABILITY
from evals.q5.study import Study
from harness.analysis.contrast import random_direction, shuffled_difference
from harness.analysis.estimated import Answer, Estimated
from harness.data.behavior import Message, Pair
from harness.data.measurement import Estimate, Measurement
from harness.engines.protocol import Completion, Recorded, Sites, Steering
from harness.readouts.forced_choice import METRICS, ForcedChoice
from harness.readouts.steering import DOSES

WIDTH = 16
PAIRS = [Pair(f"p{i}", "dev", f"d{i % 5}", (Message("user", "Go."),), f"I go {i}.", f"Why go {i}?") for i in range(20)]
TRUE = np.eye(WIDTH)[0]


class Planted:
    """Recordings of a model whose choice moves by `along` with the true direction and by `any_way` with every other one, by layer."""

    def __init__(self, along: dict[int, float], any_way: dict[int, float], cost: float) -> None:
        self.along, self.any_way, self.cost = along, any_way, cost
        self.random = np.random.default_rng(0).standard_normal(WIDTH)
        self.random[0] = 0

    def recorded(self, subject: Any, completions: Sequence[Completion], sites: Sites) -> list[Recorded]:
        rng = np.random.default_rng(1)

        def row(i: int) -> Any:
            return (TRUE if i % 2 == 0 else -TRUE) + 0.1 * rng.standard_normal(WIDTH)

        layers = sites.residual_layers
        return [Recorded(None, {}, {k: row(i) for k in layers}, dict.fromkeys(layers, 1.0), {}, {}) for i in range(len(completions))]

    def _shift(self, steering: Steering) -> float:
        ((layer, vector),) = steering.vectors.items()
        return float(self.along.get(layer, 0.0) * vector[0] + self.any_way.get(layer, 0.0) * (vector @ self.random))

    def forced_choice(self, subject: Any, pairs: Sequence[Pair], steering: Steering | None = None) -> ForcedChoice:
        prompted = [1.0 if pair.messages[0].role == "system" else 0.0 for pair in pairs]
        return ForcedChoice(dict.fromkeys(METRICS, np.array(prompted)))

    def forced_choices(self, subject: Any, pairs: Sequence[Pair], added: Sequence[Steering]) -> list[ForcedChoice]:
        return [ForcedChoice(dict.fromkeys(METRICS, np.full(len(pairs), self._shift(one)))) for one in added]

    def text_nll(self, subject: Any, texts: Sequence[str], steering: Steering | None = None) -> Any:
        return np.zeros(len(texts))

    def text_nlls(self, subject: Any, texts: Sequence[str], added: Sequence[Steering]) -> Any:
        sizes = [float(np.linalg.norm(next(iter(one.vectors.values())))) for one in added]
        return np.array([[self.cost * size] * len(texts) for size in sizes])


def lab_of(recordings: Planted) -> Any:
    """As much of a lab as Q5 asks for."""
    lab = SimpleNamespace(
        recordings=recordings,
        base=None,
        candidate=None,
        behavior=SimpleNamespace(name="planted", description="Go, and do not ask."),
        layer_kinds=("linear_attention",) * 3 + ("full_attention",) + ("linear_attention",) * 3 + ("full_attention",),
        progress=lambda line: None,
        rng=lambda *purpose: np.random.default_rng(len("/".join(purpose))),
        sizes=SimpleNamespace(prose=24, nulls=3),
        pairs=lambda split: tuple(PAIRS),
        bound=lambda id: 0.05,
        alpha=lambda id: 0.05,
        level=0.05,
        measurement=lambda id, unit, estimate=None, **rest: Measurement(id, "planted", unit),
    )
    lab.at = lambda look: lab
    return lab


def swept(along: dict[int, float], any_way: dict[int, float], cost: float = 0.2) -> Sweep:
    return sweep(lab_of(Planted(along, any_way, cost)), PAIRS, PAIRS, 0.05, "planted")


def test_where_the_vector_stands_out_goes_before_where_any_vector_moves_the_choice() -> None:
    found = swept(along={2: 1.0, 6: 2.0}, any_way={2: 0.05, 6: 2.0})
    standing = {cell.layer: cell.standing for cell in found.cells if cell.standing is not None}
    assert found.chosen.layer == 2 and standing[2] > 2 * standing[6]
    by_shift = max((c for c in found.cells if c.cost < 0.05), key=lambda c: c.shift)
    assert by_shift.layer == 6


def test_of_a_layer_the_strongest_dose_that_keeps_the_language() -> None:
    found = swept(along={2: 1.0}, any_way={k: 0.05 for k in range(8)})
    assert (found.chosen.layer, found.chosen.dose) == (2, 0.2)  # costs .04; the next dose costs .08
    assert sorted(c.dose for c in found.cells if c.layer == 2) == sorted([*DOSES, *(-d for d in DOSES)])


def test_where_no_dose_keeps_the_language_the_cheapest_is_taken() -> None:
    found = swept(along={2: 1.0}, any_way={k: 0.05 for k in range(8)}, cost=10.0)
    assert found.chosen.dose == DOSES[0] and found.chosen.standing is None


def test_the_vector_points_from_negative_to_positive() -> None:
    found = swept(along={2: 1.0}, any_way={k: 0.05 for k in range(8)})
    assert found.vector / np.linalg.norm(found.vector) == pytest.approx(TRUE, abs=0.1)


@pytest.mark.parametrize(
    ("id", "parts"),
    [
        (COHERENCE, {"sweep", "documents", "cost"}),
        (SIGN, {"sweep", "pairs", "domains", "before", "reversed_shift"}),
        (ANTI_STEERABLE, {"sweep", "pairs", "domains", "before", "shift"}),
        (OVERCOMPLIANCE, {"sweep", "pairs", "domains", "accepting_pairs", "accepting", "diluted_shift"}),
        (VIABILITY, {"sweep", "pairs", "domains", "before", "shift", "nulls", "prompted", "simple", "simple_pairs", "simple_shift"}),
    ],
)
def test_a_check_pays_for_what_it_rests_on_and_for_nothing_else(id: str, parts: set[str]) -> None:
    study = Study(lab_of(Planted({2: 1.0}, {k: 0.05 for k in range(8)}, 0.2)))
    assert MEASURES[id](study).id == id
    assert set(vars(study)) == {"lab"} | parts


def test_engines_that_are_one_are_not_compared_and_nothing_is_read() -> None:
    lab = lab_of(Planted({}, {}, 0.2))
    lab.arms = SimpleNamespace(engine=SimpleNamespace(name="hf"))
    lab.recordings.engine = lab.arms.engine
    study = Study(lab)
    assert MEASURES[ENGINE_PARITY](study).id == ENGINE_PARITY
    assert set(vars(study)) == {"lab"}


def test_null_vectors_of_both_kinds_come_from_one_generator() -> None:
    study = Study(lab_of(Planted({2: 1.0}, {k: 0.05 for k in range(8)}, 0.2)))
    found, rng = study.sweep, study.lab.rng("q5", "null")
    random = [random_direction(WIDTH, rng) for _ in range(3)]
    shuffled = [shuffled_difference(found.contrast.positive, found.contrast.negative, rng) for _ in range(3)]
    for kind, vectors in (("random", random), ("shuffled", shuffled)):
        added = [found.steering(vector) for vector in vectors]
        expected = [choice.metric("at_decision") for choice in study.lab.recordings.forced_choices(None, PAIRS, added)]
        np.testing.assert_array_equal(study.nulls[kind], expected)


def around(low: float, high: float) -> Estimate:
    return Estimate((low + high) / 2, low, high, low, high, 0.05, 64, 32)


@pytest.mark.parametrize(
    ("effect", "ratio", "words"),
    [
        (around(0.1, 0.2), Estimated(around(0.85, 1.2)), "as steerable as a simple feature"),
        (around(0.1, 0.2), Estimated(around(0.2, 0.7)), "weaker than a simple feature"),
        (around(-0.2, -0.1), Estimated(None, "no variance"), "not steerable"),
    ],
)
def test_what_is_shown_is_said(effect: Estimate, ratio: Estimated, words: str) -> None:
    assert steerable(effect, ratio) == Answer(words)


@pytest.mark.parametrize(
    ("effect", "ratio", "reason"),
    [
        (None, Estimated(around(0.85, 1.2)), "the effect is not shown to stand above its null"),
        (around(-0.1, 0.2), Estimated(around(0.85, 1.2)), "the effect is not shown to stand above its null"),
        (around(0.1, 0.2), Estimated(None, "no variance"), "complex and simple shifts have no ratio: no variance"),
        (around(0.1, 0.2), Estimated(around(0.5, 1.2)), "the interval of the ratio covers 0.8"),
    ],
)
def test_what_is_not_shown_has_no_answer_but_a_reason(effect: Estimate | None, ratio: Estimated, reason: str) -> None:
    answer = steerable(effect, ratio)
    assert answer.words is None and (answer.reason or "").startswith(reason)
