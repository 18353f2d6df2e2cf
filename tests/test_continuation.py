"""A candidate that goes on from an earlier cycle is told by its weights, as an adapter and as a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from harness.analysis.sketches import as_text, from_text, goes_on

if TYPE_CHECKING:
    from harness.data.subject import Subject
    from tests.conftest import MakeAdapter


def test_a_sketch_survives_as_text() -> None:
    sketch = np.random.default_rng(0).standard_normal(576)
    assert np.allclose(from_text(as_text(sketch)), sketch, atol=2e-3)
    with pytest.raises(ValueError):
        from_text("no base64!")


def test_what_goes_on_and_what_does_not() -> None:
    rng = np.random.default_rng(1)
    one, other = rng.standard_normal((2, 576))
    assert goes_on(one, one + 0.3 * other) and goes_on(one, 2 * one)
    assert not goes_on(one, other) and not goes_on(one, -one)
    assert not goes_on(one, np.zeros(576)) and not goes_on(np.zeros(576), np.zeros(576)) and not goes_on(one, one[:100])


def test_cosines_of_sketches_are_those_of_the_weights(tiny_hybrid: Subject, make_adapter: MakeAdapter, tmp_path: Path) -> None:
    """Two adapters that share 80 % of their change, and one begun anew: by their sketches and by the whole matrices."""
    from safetensors.torch import load_file, save_file

    from harness.readouts.weight_change import adapter_factors
    from harness.readouts.weight_sketch import ENTRIES, weight_sketch
    from harness.subjects.files import ADAPTER_WEIGHTS, with_adapter

    folders = [tmp_path / name for name in ("one", "onward", "other")]
    subjects = [make_adapter(tiny_hybrid, folder, seed=seed) for folder, seed in zip(folders, (1, 1, 2), strict=True)]
    weights = load_file(folders[1] / ADAPTER_WEIGHTS)
    other = load_file(folders[2] / ADAPTER_WEIGHTS)
    save_file(
        {name: (weight + 0.5 * other[name] if ".lora_B" in name else weight).contiguous() for name, weight in weights.items()},
        folders[1] / ADAPTER_WEIGHTS,
    )
    subjects[1] = with_adapter(tiny_hybrid, folders[1], "onward")

    def whole(subject: Subject) -> np.ndarray:
        assert subject.adapter is not None
        return np.concatenate([(scale * up @ down).numpy().ravel() for _, down, up, scale in adapter_factors(subject.adapter)])

    def cosine(one: np.ndarray, two: np.ndarray) -> float:
        return float(one @ two / np.linalg.norm(one) / np.linalg.norm(two))

    sketches, changes = [weight_sketch(tiny_hybrid, subject) for subject in subjects], [whole(subject) for subject in subjects]
    assert sketches[0].shape == (ENTRIES,)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert cosine(sketches[i], sketches[j]) == pytest.approx(cosine(changes[i], changes[j]), abs=4 / ENTRIES**0.5)
    assert not weight_sketch(tiny_hybrid, tiny_hybrid).any()
