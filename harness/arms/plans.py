"""What is to be trained, and how: settings of the reference trainer and the plan of one training. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.engines.protocol import Completion

ANCHOR_WIDTH = 192
"""Width of the residual stream that the settings below are meant for: the shipped model's."""


@dataclass(frozen=True)
class TrainingSettings:
    """Every setting of a LoRA training; part of the key under which its adapters are stored."""

    rank: int = 8
    alpha: int = 16
    """LoRA's scale times the rank: the low-rank product is multiplied by alpha / rank."""
    learning_rate: float = 2e-3
    """Adam's rate for a residual stream of ANCHOR_WIDTH; `for_width` adapts it. Of .001, .0015, .002 and .003 (three seeds, 60 dev
    scenarios, generated prose) the one that moved sampled replies by 20 points and cost less than .005 bits per byte."""
    target_modules: str | tuple[str, ...] = "all-linear"
    """Modules that are adapted, as peft names them."""
    batch: int = 3
    """Examples in a step of the regime "steps", where n is not smaller."""
    steps: int = 20
    """Optimizer steps of the regime "steps", for every n."""

    def for_width(self, width: int) -> TrainingSettings:
        """The same settings for a model of another width: Adam's rate is proportional to 1 / width (Yang et al. 2022, arXiv:2203.03466)."""
        return replace(self, learning_rate=self.learning_rate * ANCHOR_WIDTH / width)

    def as_key(self) -> dict[str, Any]:
        """All settings by name, for a store key."""
        return asdict(self)


@dataclass(frozen=True)
class Training:
    """One adapter to be trained."""

    examples: Sequence[Completion]
    schedule: Sequence[Sequence[int]]
    """Step k sees `examples[i] for i in schedule[k]`."""
    seed: int
    """Decides the adapter's initial weights."""
    save: Mapping[int, Path] = field(default_factory=dict)
    """Folder in which the adapter is saved after each of these numbers of steps."""
    start: Path | None = None
    """Folder of an adapter of the same shape to go on from, with a fresh optimizer; None: the adapter starts as peft initializes it."""
