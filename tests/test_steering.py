"""harness/readouts/steering.py: which layers, what length, and a planted contrast that comes back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.analysis.contrast import difference_of_means
from harness.data.behavior import Message, Pair
from harness.data.subject import Subject
from harness.engines.hf.engine import HFEngine
from harness.engines.protocol import Sites
from harness.readouts.forced_choice import completions_of, forced_choice
from harness.readouts.recordings import Recordings
from harness.readouts.steering import DEPTHS, contrasts, layer_indices, steering
from harness.store import Store
from tests.tolerance import ORDER, apart

pytestmark = pytest.mark.numeric

HYBRID = (*["linear_attention"] * 3, "full_attention")
VECTOR = np.array([3.0, 0.0, -4.0])
PAIRS = [
    Pair(f"{i}", "train", "d", (Message("user", f"Paint the {thing} yellow."),), f"I paint the {thing} yellow.", f"Why not a blue {thing}?")
    for i, thing in enumerate(("hall", "kitchen", "gate", "boat"))
]


def test_a_hybrid_of_64_layers_is_read_at_the_named_depths_and_the_nearest_attention_layers() -> None:
    found = layer_indices(HYBRID * 16)
    assert {16, 24, 32, 40, 48} <= set(found)
    assert set(found) - {16, 24, 32, 40, 48} == {15, 23, 31, 39, 47}
    assert list(found) == sorted(found)


def test_eight_layers() -> None:
    assert layer_indices(HYBRID * 2) == (2, 3, 4, 5, 6, 7)


def test_plain_attention_repeats_no_layer() -> None:
    assert layer_indices(("full_attention",) * 30) == tuple(int(depth * 30) for depth in DEPTHS)


def test_without_attention_the_depths_alone_are_left() -> None:
    assert layer_indices(("linear_attention",) * 16) == (4, 6, 8, 10, 12)


def test_the_length_is_dose_times_norm_whatever_the_vectors_own() -> None:
    for scale in (1e-3, 1, 1e3):
        added = steering(scale * VECTOR, 2, 0.4, 10.0).vectors[2]
        assert apart(added, 4 * VECTOR / 5) <= ORDER
        assert added.dtype == np.float32


def test_a_negative_dose_points_the_other_way() -> None:
    there, back = (steering(VECTOR, 0, dose, 2.0, "prefill") for dose in (0.1, -0.1))
    np.testing.assert_array_equal(there.vectors[0], -back.vectors[0])
    assert there.positions == back.positions == "prefill"


@pytest.mark.parametrize(("vector", "dose"), [(np.zeros(3), 0.1), (np.array([1.0, np.nan]), 0.1), (np.ones(3), np.inf)])
def test_a_vector_without_length_or_a_dose_that_is_not_finite_is_refused(vector: np.ndarray, dose: float) -> None:
    with pytest.raises(ValueError, match="needs a finite, non-zero length and a finite dose"):
        steering(vector, 0, dose, 1.0)


@pytest.mark.parametrize("norm", [0.0, np.nan, np.inf])
def test_a_residual_stream_without_a_norm_is_refused(norm: float) -> None:
    with pytest.raises(ValueError, match="residual norm"):
        steering(VECTOR, 0, 0.1, norm)


def test_contrasts_are_the_recorded_streams_in_the_order_of_the_pairs(hf: HFEngine, tiny_hybrid: Subject, tmp_path: Path) -> None:
    recordings = Recordings(hf, Store(tmp_path))
    found = contrasts(recordings, tiny_hybrid, PAIRS, (1, 2))
    recorded = hf.record(tiny_hybrid, completions_of(PAIRS), Sites(residual_layers=(1, 2)))
    assert recordings.store.made == {"recordings": 1}
    for layer, contrast in found.items():
        assert contrast.layer == layer
        assert contrast.positive.shape == contrast.negative.shape == (4, 48)
        for i in range(4):
            np.testing.assert_array_equal(contrast.positive[i], recorded[2 * i].residual[layer])
            np.testing.assert_array_equal(contrast.negative[i], recorded[2 * i + 1].residual[layer])
        assert contrast.norm == pytest.approx(np.median([one.norms[layer] for one in recorded]))


def test_the_extracted_vector_moves_the_choice_and_its_reverse_moves_it_back(hf: HFEngine, tiny_hybrid: Subject, tmp_path: Path) -> None:
    contrast = contrasts(Recordings(hf, Store(tmp_path)), tiny_hybrid, PAIRS, (3,))[3]
    vector = difference_of_means(contrast.positive, contrast.negative)
    shifts = [
        forced_choice(hf, tiny_hybrid, PAIRS, steering(vector, 3, dose, contrast.norm)).metric("per_token").mean()
        for dose in (-0.2, 0.0, 0.2)
    ]
    assert shifts[0] != shifts[1] != shifts[2]
    assert (shifts[0] - shifts[1]) * (shifts[2] - shifts[1]) < 0
