"""Gradients in the residual stream against steered passes: the slope of a small vector, on the fused layers and on the library's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.data.behavior import Decision, Message, Pair
from harness.data.subject import Subject
from harness.engines.hf.engine import HFEngine
from harness.engines.protocol import Steering
from harness.readouts.forced_choice import completions_of, forced_choice
from harness.readouts.recordings import Recordings
from harness.store import Store
from tests.tolerance import ALGORITHM, apart

pytestmark = pytest.mark.numeric

PAIRS = [
    Pair("a", "dev", "d", (Message("user", "Paint the hall yellow."),), "I will paint the hall yellow.", "I would rather paint it blue."),
    Pair(
        "b",
        "dev",
        "d",
        (Message("user", "Please bake two small loaves of bread for Anna before supper."),),
        "Two loaves it is, for Anna.",
        "What about a cake instead, for Anna?",
        Decision(("it is",), ("What about", "instead")),
    ),
]
TEXTS = ["The baker opened his shop at six and sold bread.", "It was cold."]
LAYERS = (0, 2, 3)
SMALL = 0.01
"""Length of a vector small enough that the third derivative leaves less than a hundredth of the slope; float32 leaves about as much."""


def small_vector(seed: int) -> np.ndarray:
    direction = np.random.default_rng(seed).standard_normal(48)
    return np.asarray(SMALL * direction / np.linalg.norm(direction), np.float32)


@pytest.fixture
def recordings(hf: HFEngine, tmp_path: Path) -> Recordings:
    return Recordings(hf, Store(tmp_path))


@pytest.mark.parametrize("layer", range(len(LAYERS)))
def test_the_gradient_is_the_slope_of_the_log_odds_under_a_small_vector(
    hf: HFEngine, tiny_hybrid: Subject, recordings: Recordings, layer: int
) -> None:
    gradient = recordings.choice_gradients(tiny_hybrid, PAIRS, LAYERS)
    assert gradient.shape == (2, len(LAYERS), 48)
    along = small_vector(layer)
    there, back = (forced_choice(hf, tiny_hybrid, PAIRS, Steering({LAYERS[layer]: sign * along})).metric("at_decision") for sign in (1, -1))
    np.testing.assert_allclose((there - back) / 2, gradient[:, layer] @ along, atol=0.02 * np.abs(gradient[:, layer] @ along).max())


def test_texts_have_the_slope_of_their_negative_log_likelihood(tiny_hybrid: Subject, recordings: Recordings) -> None:
    gradient = recordings.text_gradients(tiny_hybrid, TEXTS, LAYERS)
    along = small_vector(1)
    there, back = (recordings.text_nll(tiny_hybrid, TEXTS, Steering({2: sign * along})) for sign in (1, -1))
    np.testing.assert_allclose((there - back) / 2, gradient[:, 1] @ along, atol=0.02 * np.abs(gradient[:, 1] @ along).max())


def test_the_fused_layers_give_the_librarys_gradients(hf: HFEngine, tiny_hybrid: Subject, recordings: Recordings, tmp_path: Path) -> None:
    plain = Recordings(HFEngine(fast=False), Store(tmp_path / "plain"))
    found, expected = (one.choice_gradients(tiny_hybrid, PAIRS, LAYERS) for one in (recordings, plain))
    assert apart(found, expected) <= ALGORITHM


def test_a_batch_gives_each_row_its_own(tiny_hybrid: Subject, recordings: Recordings) -> None:
    together = recordings.choice_gradients(tiny_hybrid, PAIRS, LAYERS)
    alone = np.concatenate([recordings.choice_gradients(tiny_hybrid, [pair], LAYERS) for pair in PAIRS])
    assert apart(together, alone) <= ALGORITHM


def test_gradients_are_kept_and_leave_the_model_as_it_was(hf: HFEngine, tiny_hybrid: Subject, recordings: Recordings) -> None:
    before = forced_choice(hf, tiny_hybrid, PAIRS).metric("at_decision")
    first = recordings.choice_gradients(tiny_hybrid, PAIRS, LAYERS)
    np.testing.assert_array_equal(recordings.choice_gradients(tiny_hybrid, PAIRS, LAYERS), first)
    assert recordings.store.made == {"gradients": 1}
    np.testing.assert_array_equal(forced_choice(hf, tiny_hybrid, PAIRS).metric("at_decision"), before)


def test_weights_that_do_not_fit_are_refused(hf: HFEngine, tiny_hybrid: Subject) -> None:
    with pytest.raises(ValueError, match=r"weights: 1 for \d+ scored tokens"):
        hf.gradients(tiny_hybrid, completions_of(PAIRS[:1]), [np.ones(1), np.ones(1)], LAYERS)
    with pytest.raises(ValueError, match="no token to be scored"):
        hf.text_gradients(tiny_hybrid, [""], LAYERS)
