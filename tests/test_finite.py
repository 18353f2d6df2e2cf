"""harness/subjects/finite.py: counts what torch would call NaN or infinite, in every number type, and reads no file into memory whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from harness.data.errors import InputError
from harness.store import Store
from harness.subjects import finite
from harness.subjects.finite import not_finite

KINDS = {
    torch.float64: torch.int64,
    torch.float32: torch.int32,
    torch.float16: torch.int16,
    torch.bfloat16: torch.int16,
    torch.float8_e4m3fn: torch.uint8,
    torch.float8_e5m2: torch.uint8,
    torch.float8_e4m3fnuz: torch.uint8,
    torch.float8_e5m2fnuz: torch.uint8,
}
"""Number types and an integer type of the same width."""


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_it_counts_what_torch_counts(kind: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random bits; of the narrow types every pattern there is."""
    monkeypatch.setattr(finite, "BLOCK", 1000)  # several blocks
    bits = KINDS[kind]
    width = torch.empty(0, dtype=bits).element_size()
    rng = np.random.default_rng(0)
    raw = rng.integers(0, 256, size=(4003, width), dtype=np.uint8)
    if width <= 2:
        raw = np.arange(256**width, dtype=f"<u{width}").view(np.uint8).reshape(-1, width)
    else:
        raw[::7] = 0xFF  # NaN
    values = torch.from_numpy(raw.copy()).view(bits).view(kind).reshape(-1)
    save_file({"whole": torch.arange(5), "other": values, "empty": torch.empty(0, dtype=kind)}, tmp_path / "weights")
    bad = int((~values.double().isfinite()).sum())
    assert bad > 0
    assert not_finite(tmp_path / "weights") == {"other": bad}


def test_a_file_of_finite_numbers_has_none(tmp_path: Path) -> None:
    save_file(
        {"a": torch.randn(3, 4), "b": torch.zeros(2, dtype=torch.bfloat16), "c": torch.ones(3, dtype=torch.bool)}, tmp_path / "weights"
    )
    assert not_finite(tmp_path / "weights") == {}


def test_a_damaged_file_is_refused_by_name(tmp_path: Path) -> None:
    save_file({"a": torch.randn(3, 4)}, tmp_path / "weights")
    with (tmp_path / "weights").open("r+b") as handle:
        handle.truncate(60)
    with pytest.raises(InputError, match=r"weights: damaged safetensors file"):
        not_finite(tmp_path / "weights")


def test_a_large_file_is_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finite, "SMALL", 10)
    save_file({"a": torch.tensor([1.0, torch.inf, torch.nan])}, tmp_path / "weights")
    store = Store(tmp_path / "store")
    assert not_finite(tmp_path / "weights", store) == {"a": 2}
    monkeypatch.delattr(finite, "_counted")
    assert not_finite(tmp_path / "weights", store) == {"a": 2}
