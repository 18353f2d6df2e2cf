"""harness/readouts/weight_change.py against dense linear algebra, for adapters and for checkpoints."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from harness.data.subject import Subject
from harness.readouts.weight_change import weight_changes
from harness.subjects.files import ADAPTER_WEIGHTS, base_subject
from tests.tolerance import ORDER, apart

if TYPE_CHECKING:
    from tests.conftest import MakeAdapter

pytestmark = pytest.mark.numeric


def dense(delta: np.ndarray) -> tuple[float, float]:
    values = np.linalg.svd(delta, compute_uv=False)
    return float(np.sqrt((values**2).sum())), float((values**2).sum() / values[0] ** 2)


def test_an_adapters_stable_rank_is_that_of_its_product(tiny_hybrid: Subject, make_adapter: MakeAdapter, tmp_path: Path) -> None:
    adapted = make_adapter(tiny_hybrid, tmp_path, ["q_proj", "out_proj"])
    weights = load_file(tmp_path / ADAPTER_WEIGHTS)
    changes = weight_changes(tiny_hybrid, adapted)
    assert {change.name.split(".")[-1] for change in changes} == {"q_proj", "out_proj"}
    for change in changes:
        down, up = (weights[f"base_model.model.{change.name}.lora_{part}.weight"] for part in "AB")
        norm, rank = dense(up.astype(np.float64) @ down)  # rank 2, alpha 2: scale 1
        assert apart(change.norm, norm) <= ORDER and apart(change.stable_rank, rank) <= ORDER


def test_a_checkpoint_is_compared_matrix_by_matrix(tiny_llama: Subject, tmp_path: Path) -> None:
    shutil.copytree(tiny_llama.base, tmp_path / "model")
    file = tmp_path / "model" / "model.safetensors"
    weights, rng = load_file(file), np.random.default_rng(0)
    name = "model.layers.1.mlp.up_proj.weight"
    delta = (rng.normal(size=(weights[name].shape[0], 3)) @ rng.normal(size=(3, weights[name].shape[1]))).astype(np.float32)
    save_file(weights | {name: weights[name] + delta}, file, metadata={"format": "pt"})
    (change,) = weight_changes(tiny_llama, base_subject("changed", tmp_path / "model"))
    norm, rank = dense(delta)
    assert change.name == name
    assert (change.norm, change.stable_rank) == (pytest.approx(norm, rel=1e-3), pytest.approx(rank, rel=1e-2))


def test_base_against_itself_changed_nothing(tiny_hybrid: Subject) -> None:
    assert weight_changes(tiny_hybrid, tiny_hybrid) == []
