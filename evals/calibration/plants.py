"""Planted regressions that need no training of their own: what goes wrong between a good adapter and the model that is served.

Each takes a good adapter and returns the broken subject, kept in the store under the good one's digest and the seed. The amounts are
stated in `AMOUNTS`; they are large enough that a person who saw the replies would not ship the model, or (quantized) a common accident.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from harness.arms.maker import ArmMaker
from harness.data.subject import Subject
from harness.subjects.files import ADAPTER_CONFIG, ADAPTER_WEIGHTS, base_subject, read_json, with_adapter

NOISE = 0.12
"""Standard deviation of the noise added to a weight, as a share of the root mean square of its matrix."""
BITS = 4
"""Bits per weight after symmetric rounding, per row."""
AMOUNTS: Mapping[str, str] = {
    "merged twice": "the adapter's change counted twice",
    "wrong sign": "the adapter's change subtracted",
    "inactive": "all of the adapter's changes zero",
    "noise": f"Gaussian noise of {NOISE:g} of each matrix's root mean square, in the merged weights",
    "quantized": f"merged weights rounded to {BITS} bits, a scale a row",
}


def _adapter(maker: ArmMaker, good: Subject, kind: str, change: Callable[[str, Tensor], Tensor]) -> Subject:
    """The good adapter with every tensor changed."""
    source = good.adapter
    assert source is not None
    key = {"plant": kind, "amount": AMOUNTS[kind], "from": good.digest}

    def build(folder: Path) -> None:
        weights = load_file(source / ADAPTER_WEIGHTS)
        save_file({name: change(name, weight).contiguous() for name, weight in weights.items()}, folder / ADAPTER_WEIGHTS)
        shutil.copyfile(source / ADAPTER_CONFIG, folder / ADAPTER_CONFIG)

    return with_adapter(maker.base, maker.store.entry("plants", key, build), f"{kind} {good.name}", maker.store.digest)


def _up(factor: float) -> Callable[[str, Tensor], Tensor]:
    return lambda name, weight: weight * factor if ".lora_B" in name else weight


def _checkpoint(maker: ArmMaker, good: Subject, kind: str, seed: int, change: Callable[[Tensor, torch.Generator], Tensor]) -> Subject:
    """The merged model with every matrix changed, as a checkpoint of the base's architecture and number type."""
    key = {"plant": kind, "amount": AMOUNTS[kind], "from": good.digest, "seed": seed}

    def build(folder: Path) -> None:
        generator = torch.Generator().manual_seed(seed)
        kept = read_json(maker.base.base / "config.json")
        number_type: Any = getattr(torch, str(kept.get("dtype") or kept.get("torch_dtype") or "float32"))
        with maker.engine.model(good) as model:
            weights: dict[str, Tensor] = {}
            for name, weight in model.state_dict().items():
                changed = change(weight.float(), generator) if weight.dim() == 2 else weight
                weights[name] = changed.to(number_type).contiguous().clone()
            config = model.config
            config.save_pretrained(folder)
            tied = bool(getattr(config, "tie_word_embeddings", False))
        if tied:
            weights.pop("lm_head.weight", None)
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        for file in maker.base.base.iterdir():
            if file.is_file() and file.suffix != ".safetensors" and not (folder / file.name).exists():
                shutil.copyfile(file, folder / file.name)
        shutil.copyfile(maker.base.base / "config.json", folder / "config.json")

    made = maker.store.entry("plants", key, build)
    return base_subject(f"{kind} {good.name}", made, maker.base.trust_remote_code, maker.store.digest)


def _noisy(weight: Tensor, generator: torch.Generator) -> Tensor:
    added: Tensor = torch.randn(weight.shape, generator=generator) * NOISE * weight.square().mean().sqrt()
    return weight + added


def _rounded(weight: Tensor, generator: torch.Generator) -> Tensor:
    step: Tensor = weight.abs().amax(dim=1, keepdim=True).clamp_min(1e-12) / (2 ** (BITS - 1) - 1)
    return (weight / step).round() * step


def planted(maker: ArmMaker, good: Subject, seed: int) -> dict[str, Callable[[], Subject]]:
    """By kind, what makes the broken subject."""
    return {
        "merged twice": lambda: _adapter(maker, good, "merged twice", _up(2.0)),
        "wrong sign": lambda: _adapter(maker, good, "wrong sign", _up(-1.0)),
        "inactive": lambda: _adapter(maker, good, "inactive", _up(0.0)),
        "noise": lambda: _checkpoint(maker, good, "noise", seed, _noisy),
        "quantized": lambda: _checkpoint(maker, good, "quantized", seed, _rounded),
    }
