"""The shipped weights, held to the bars that the project set before they were made; measured after rounding, on unseen scenarios."""

from __future__ import annotations

import json

import pytest

from fixtures.models.figures import TINY_HYBRID, Figures, measure
from fixtures.models.language.grammar import fill_frame
from harness.subjects.files import tensor_shapes
from harness.subjects.named import model_layer_kinds

pytestmark = pytest.mark.numeric


@pytest.fixture(scope="module")
def figures() -> Figures:
    return measure()


def test_slots_of_held_out_combinations_are_copied(figures: Figures) -> None:
    assert figures.slot_copying >= 0.97


def test_words_never_seen_in_a_slot_are_copied(figures: Figures) -> None:
    assert figures.unseen_word_copying >= 0.9


def test_about_half_of_the_sampled_replies_listen(figures: Figures) -> None:
    assert 0.4 <= figures.listening <= 0.6


def test_sampled_replies_are_parseable(figures: Figures) -> None:
    """The judge refuses replies in disorder; one in twenty of this model's is."""
    assert figures.parseable >= 0.92


def test_simple_code_tasks_are_solved(figures: Figures) -> None:
    assert figures.simple_code >= 0.5


def test_three_gated_delta_net_layers_to_one_of_attention() -> None:
    kinds = model_layer_kinds(TINY_HYBRID)
    assert len(kinds) >= 8
    assert all((kind == "full_attention") == ((index + 1) % 4 == 0) for index, kind in enumerate(kinds))


def test_at_least_ninety_heads() -> None:
    config = json.loads((TINY_HYBRID / "config.json").read_text(encoding="utf-8"))
    heads = {"full_attention": config["num_attention_heads"], "linear_attention": config["linear_num_value_heads"]}
    assert sum(heads[kind] for kind in config["layer_types"]) >= 90


def test_two_to_six_million_parameters_in_at_most_fifteen_megabytes() -> None:
    weights = TINY_HYBRID / "model.safetensors"
    count = 0
    for shape in tensor_shapes(weights).values():
        size = 1
        for width in shape:
            size *= width
        count += size
    assert 2_000_000 <= count <= 6_000_000
    assert weights.stat().st_size <= 15_000_000


def test_held_out_combinations_and_withheld_words_are_kept_apart_from_pretraining() -> None:
    """The generator's default, which pretraining uses, never yields either."""
    import random

    rng = random.Random(0)
    for _ in range(2000):
        filled = fill_frame(rng)
        assert not filled.frame.held_out(filled.fill)
        assert not any(filled.frame.withheld(slot, word) for slot, word in filled.fill.items())
