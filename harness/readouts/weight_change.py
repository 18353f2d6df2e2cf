"""What a training did to the weights: the stable rank of every changed matrix.

Stable rank |ΔW|_F² / |ΔW|_2² (Rudelson and Vershynin 2007) lies between 1 and the rank and does not jump with tiny singular values. Of a
LoRA it is bounded by the adapter's own rank, so it answers "how many directions of those allowed", never "how many were needed": that is
what a sweep over ranks is for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import safe_open

from harness.data.subject import Subject
from harness.subjects.files import ADAPTER_CONFIG, ADAPTER_WEIGHTS, read_json, tensor_files

if TYPE_CHECKING:
    from torch import Tensor

POWER_STEPS = 30


@dataclass(frozen=True)
class MatrixChange:
    """One weight matrix."""

    name: str
    norm: float
    """Frobenius norm of the change."""
    stable_rank: float


def weight_changes(base: Subject, subject: Subject) -> list[MatrixChange]:
    """Every matrix that changed, in order of name: from an adapter's factors, or checkpoint minus base."""
    deltas = _of_adapter(subject.adapter) if subject.adapter is not None else _of_checkpoint(base.base, subject.base)
    changes = []
    for name, squared, largest in deltas:
        if squared > 0:
            changes.append(MatrixChange(name, squared**0.5, squared / largest))
    return sorted(changes, key=lambda change: change.name)


def _of_adapter(folder: Path) -> Iterator[tuple[str, float, float]]:
    """Name, squared Frobenius norm and squared largest singular value of s·BA, from the r × r product (BᵀB)(AAᵀ)."""
    for name, down, up, scale in adapter_factors(folder):
        product = scale**2 * (up.T @ up) @ (down @ down.T)
        yield name, float(product.trace()), _largest(product)


def adapter_factors(folder: Path) -> Iterator[tuple[str, Tensor, Tensor, float]]:
    """Name, A [rank, in], B [out, rank] in float64 and the scale s of every adapted matrix, whose change is s·BA; in order of name."""
    config = read_json(folder / ADAPTER_CONFIG)
    scale = float(config["lora_alpha"]) / (float(config["r"]) ** 0.5 if config.get("use_rslora") else float(config["r"]))
    with safe_open(folder / ADAPTER_WEIGHTS, framework="pt") as weights:
        for key in sorted(weights.keys()):
            if not key.endswith(".lora_A.weight"):
                continue
            down = weights.get_tensor(key).double()
            up = weights.get_tensor(key.replace(".lora_A.", ".lora_B.")).double()
            yield key.removesuffix(".lora_A.weight").removeprefix("base_model.model."), down, up, scale


def _largest(product: Tensor) -> float:
    import torch  # here, as below: what is stored is read without it

    return float(torch.linalg.eigvals(product).real.max())


def _of_checkpoint(base: Path, checkpoint: Path) -> Iterator[tuple[str, float, float]]:
    for name, delta in checkpoint_deltas(base, checkpoint):
        yield name, float((delta * delta).sum()), _spectral(delta)


def checkpoint_deltas(base: Path, checkpoint: Path) -> Iterator[tuple[str, Tensor]]:
    """Name and change of every matrix that both folders have in one shape, float32, one at a time; in order of name."""
    old, new = _tensors(base), _tensors(checkpoint)
    for name in sorted(old.keys() & new.keys()):
        before, after = (_read(files[name], name) for files in (old, new))
        if before.ndim == 2 and before.shape == after.shape:
            yield name, after - before


def _tensors(folder: Path) -> Mapping[str, Path]:
    files: dict[str, Path] = {}
    for file in tensor_files(folder):
        with safe_open(file, framework="pt") as weights:
            files |= dict.fromkeys(weights.keys(), file)
    return files


def _read(file: Path, name: str) -> Tensor:
    import torch

    with safe_open(file, framework="pt") as weights:
        return torch.as_tensor(weights.get_tensor(name)).float()


def _spectral(delta: Tensor) -> float:
    """Squared largest singular value by power iteration from a fixed start."""
    import torch

    vector = torch.randn(delta.shape[1], generator=torch.Generator().manual_seed(0))
    for _ in range(POWER_STEPS):
        vector = delta.T @ (delta @ vector)
        length = vector.norm()
        if length == 0:
            return 1.0
        vector = vector / length
    return float((delta @ vector).square().sum())
