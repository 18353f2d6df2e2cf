"""evals/q5: every labeling chooses its own cell, what an answer rests on, what a check pays for."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from evals.q5.checks import MEASURES, effect, steerable
from evals.q5.design import ANTI_STEERABLE, COHERENCE, ENGINE_PARITY, OVERCOMPLIANCE, SIGN, VIABILITY
from evals.q5.search import Search, measured, search
from evals.q5.study import Study
from harness.analysis.estimated import Estimated
from harness.analysis.null_rank import null_rank
from harness.data.behavior import Message, Pair
from harness.data.measurement import Estimate, Measurement
from harness.engines.protocol import Completion, Recorded, Sites, Steering
from harness.readouts.forced_choice import METRICS, ForcedChoice
from harness.readouts.steering import DOSES

WIDTH = 16
PAIRS = [Pair(f"p{i}", "dev", f"d{i % 5}", (Message("user", "Go."),), f"I go {i}.", f"Why go {i}?") for i in range(20)]
TRUE = np.eye(WIDTH)[0]


class Planted:
    """Recordings of a model whose choice moves by `along` with the true direction and by `any_way` with every other one, by layer.

    Every vector costs `cost` × dose² in every text; scenarios differ by a little, so that there are intervals.
    """

    def __init__(self, along: dict[int, float], any_way: dict[int, float], cost: float) -> None:
        self.along, self.any_way, self.cost = along, any_way, cost
        self.random = np.random.default_rng(0).standard_normal(WIDTH)
        self.random[0] = 0
        self.steered: list[Steering] = []

    def recorded(self, subject: Any, completions: Sequence[Completion], sites: Sites) -> list[Recorded]:
        rng = np.random.default_rng(1)

        def row(i: int) -> Any:
            return (TRUE if i % 2 == 0 else -TRUE) + rng.standard_normal(WIDTH)

        layers = sites.residual_layers
        return [Recorded(None, {}, {k: row(i) for k in layers}, dict.fromkeys(layers, 1.0), {}, {}) for i in range(len(completions))]

    def _gradient(self, layer: int) -> Any:
        return self.along.get(layer, 0.0) * TRUE + self.any_way.get(layer, 0.0) * self.random

    def choice_gradients(self, subject: Any, pairs: Sequence[Pair], layers: Sequence[int]) -> Any:
        return np.array([[self._gradient(layer) for layer in layers]] * len(pairs))

    def text_gradients(self, subject: Any, texts: Sequence[str], layers: Sequence[int]) -> Any:
        return np.zeros((len(texts), len(layers), WIDTH))

    def forced_choice(self, subject: Any, pairs: Sequence[Pair], steering: Steering | None = None) -> ForcedChoice:
        prompted = [1.0 if pair.messages[0].role == "system" else 0.0 for pair in pairs]
        return ForcedChoice(dict.fromkeys(METRICS, np.array(prompted)))

    def forced_choices(self, subject: Any, pairs: Sequence[Pair], added: Sequence[Steering]) -> list[ForcedChoice]:
        self.steered += added
        moved = [float(self._gradient(layer) @ vector) for one in added for layer, vector in one.vectors.items()]
        noise = 0.001 * np.random.default_rng(2).standard_normal(len(pairs))
        return [ForcedChoice(dict.fromkeys(METRICS, shift + noise)) for shift in moved]

    def text_nll(self, subject: Any, texts: Sequence[str], steering: Steering | None = None) -> Any:
        return np.zeros(len(texts))

    def text_nlls(self, subject: Any, texts: Sequence[str], added: Sequence[Steering]) -> Any:
        squares = [float((next(iter(one.vectors.values())) ** 2).sum()) for one in added]
        return np.array([[self.cost * square] * len(texts) for square in squares])


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
        each=lambda function, items: [function(item) for item in items],
        sizes=SimpleNamespace(prose=24),
        pairs=lambda split: tuple(PAIRS),
        bound=lambda id: 0.05,
        alpha=lambda id: 0.05,
        level=0.05,
        threshold=lambda id: SimpleNamespace(smallest=0.04),
        exhibits=None,
        measurement=lambda id, unit, estimate=None, **rest: Measurement(id, "planted", unit),
    )
    lab.at = lambda look: lab
    return lab


def searched(along: dict[int, float], any_way: dict[int, float], cost: float = 0.2) -> Search:
    return search(lab_of(Planted(along, any_way, cost)), PAIRS, PAIRS, 0.05, "planted")


ANYWHERE = dict.fromkeys(range(8), 0.05)


def test_where_the_vector_stands_out_goes_before_where_any_vector_moves_the_choice() -> None:
    found = searched(along={2: 1.0, 6: 2.0}, any_way={**ANYWHERE, 6: 2.0})
    assert found.layer == 2
    assert max((cell for cell in found.tried if cell.upper < 0.05), key=lambda cell: cell.shift).layer == 6


def test_of_a_layer_the_strongest_dose_that_keeps_the_language() -> None:
    found = searched(along={2: 1.0}, any_way=ANYWHERE)
    assert (found.layer, found.dose) == (2, 0.4)  # costs .032; the next dose costs .128
    assert sorted(cell.dose for cell in found.tried if cell.layer == 2) == sorted(DOSES)
    assert [cell.upper for cell in found.tried if cell.layer == 2] == pytest.approx([0.2 * dose**2 for dose in DOSES])


def test_where_no_dose_keeps_the_language_the_cheapest_is_taken() -> None:
    found = searched(along={2: 1.0}, any_way=ANYWHERE, cost=100.0)
    assert found.dose == DOSES[0] and not found.cells.kept.any()


def test_the_vector_points_from_negative_to_positive() -> None:
    found = searched(along={2: 1.0}, any_way=ANYWHERE)
    assert found.vectors[0, 0] @ TRUE > 0.8  # each is as long as a dose of 1 at a residual norm of 1
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=2), 1)


def test_every_shuffled_labeling_is_added_at_the_cell_that_it_chose() -> None:
    found = searched(along={2: 1.0, 3: 1.0}, any_way=dict.fromkeys(range(8), 1.0))
    added = found.shuffled()
    assert len(added) == len(found.vectors) - 1 == 127
    assert len({cell.layer for cell in found.chosen[1:]}) > 1
    for one, cell, standing in zip(added, found.chosen[1:], (found.predicted.shift / found.predicted.deviation)[1:], strict=True):
        ((layer, vector),) = one.vectors.items()
        assert layer == cell.layer == list(found.contrasts)[int(standing.argmax())]
        assert np.linalg.norm(vector) == pytest.approx(cell.dose)


def test_the_dose_response_is_measured_at_the_chosen_layer_in_both_directions() -> None:
    lab = lab_of(Planted({2: 1.0}, ANYWHERE, 0.2))
    found = search(lab, PAIRS, PAIRS, 0.05, "planted")
    rows = measured(lab, found, PAIRS)
    assert [one.dose for one in rows] == [*DOSES, *(-dose for dose in DOSES)]
    assert [one.cost for one in rows[:5]] == pytest.approx([0.2 * dose**2 for dose in DOSES], rel=1e-5)
    assert rows[0].shift > 0 > rows[5].shift


@pytest.mark.parametrize(
    ("id", "parts"),
    [
        (COHERENCE, {"search", "documents", "cost"}),
        (SIGN, {"search", "pairs", "domains", "before", "reversed_shift"}),
        (ANTI_STEERABLE, {"search", "pairs", "domains", "before", "shift"}),
        (OVERCOMPLIANCE, {"search", "pairs", "domains", "accepting_pairs", "accepting", "diluted_shift"}),
        (VIABILITY, {"search", "pairs", "domains", "before", "shift", "shuffled", "prompted", "simple", "simple_pairs", "simple_shift"}),
    ],
)
def test_a_check_pays_for_what_it_rests_on_and_for_nothing_else(id: str, parts: set[str]) -> None:
    study = Study(lab_of(Planted({2: 1.0}, ANYWHERE, 0.2)))
    assert MEASURES[id](study).id == id
    assert set(vars(study)) == {"lab"} | parts


def test_engines_that_are_one_are_not_compared_and_nothing_is_read() -> None:
    lab = lab_of(Planted({}, {}, 0.2))
    lab.arms = SimpleNamespace(engine=SimpleNamespace(name="hf"))
    lab.recordings.engine = lab.arms.engine
    study = Study(lab)
    assert MEASURES[ENGINE_PARITY](study).id == ENGINE_PARITY
    assert set(vars(study)) == {"lab"}


def test_the_effect_passes_exactly_where_the_rank_among_shuffled_labels_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the measurement carries: the rank of shifts in the standard deviations that vectors move at their own cells."""
    for name in ("behavior_against_coherence", "effect_against_null", "series"):
        monkeypatch.setattr(f"evals.q5.exhibits.{name}", lambda *_: ())
    lab, found = lab_of(Planted({2: 1.0}, {2: 0.05}, 0.2)), []
    lab.measurement = lambda id, unit, estimate, **rest: found.append((estimate, rest)) or Measurement(id, "planted", unit)
    study = Study(lab)
    effect(study)
    ((estimated, rest),) = found
    scale = study.search.cells.scale
    rank = null_rank(study.shift.mean() / scale[0], study.shuffled.mean(axis=1) / scale[1:])
    assert (rest["null"]["rank"], rest["null"]["size"], rest["null"]["p"]) == (rank.rank, 127, rank.p) == (1, 127, 1 / 128)
    assert estimated.value is not None and estimated.value.low > 0
    assert rest["answer"].words == f"p 0.0078, rank 1 of 128, {rank.deviations:.1f} null SDs; layer 2, dose 0.4"
    assert rest["stepwise"]


def around(low: float, high: float) -> Estimate:
    return Estimate((low + high) / 2, low, high, low, high, 0.05, 64, 32)


@pytest.mark.parametrize(
    ("effect", "ratio", "words"),
    [
        (around(0.1, 0.2), Estimated(around(0.85, 1.2)), "as steerable as a simple feature"),
        (around(0.1, 0.2), Estimated(around(0.2, 0.7)), "weaker than a simple feature"),
        (around(-0.02, 0.03), Estimated(None, "no variance"), "not steerable"),
    ],
)
def test_what_is_shown_is_said(effect: Estimate, ratio: Estimated, words: str) -> None:
    assert steerable(effect, ratio, 0.04).words == words


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
    answer = steerable(effect, ratio, 0.04)
    assert answer.words is None and (answer.reason or "").startswith(reason)
