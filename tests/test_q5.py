"""Q5's choice of a cell: a layer at which the vector stands out goes before one at which any vector moves the choice."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from evals.q5 import experiment
from harness.data.behavior import Message, Pair
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

    def forced_choice(self, subject: Any, pairs: Sequence[Pair]) -> ForcedChoice:
        return ForcedChoice(dict.fromkeys(METRICS, np.zeros(len(pairs))))

    def forced_choices(self, subject: Any, pairs: Sequence[Pair], added: Sequence[Steering]) -> list[ForcedChoice]:
        return [ForcedChoice(dict.fromkeys(METRICS, np.full(len(pairs), self._shift(one)))) for one in added]

    def text_nll(self, subject: Any, texts: Sequence[str]) -> Any:
        return np.zeros(len(texts))

    def text_nlls(self, subject: Any, texts: Sequence[str], added: Sequence[Steering]) -> Any:
        sizes = [float(np.linalg.norm(next(iter(one.vectors.values())))) for one in added]
        return np.array([[self.cost * size] * len(texts) for size in sizes])


def swept(along: dict[int, float], any_way: dict[int, float], cost: float = 0.2) -> experiment.Sweep:
    lab = SimpleNamespace(
        recordings=Planted(along, any_way, cost),
        base=None,
        layer_kinds=("linear_attention",) * 3 + ("full_attention",) + ("linear_attention",) * 3 + ("full_attention",),
        progress=lambda line: None,
        rng=lambda *purpose: np.random.default_rng(len("/".join(purpose))),
        sizes=SimpleNamespace(prose=24),
    )
    return experiment.sweep(lab, PAIRS, PAIRS, 0.05, "planted")  # type: ignore[arg-type]  # as much of a lab as a sweep asks for


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
