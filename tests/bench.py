"""A lab without a model, for tests of what stands at the bench: real thresholds and scenarios, everything expensive made up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

from harness.behaviors.files import load_behavior
from harness.behaviors.shipped import resolve_behavior
from harness.data.settings import PROJECT, Settings
from harness.data.subject import Subject
from harness.experiment.exhibits import Exhibits
from harness.experiment.lab import Lab
from harness.gate.verdict.thresholds import load_thresholds
from harness.readouts.recordings import Recordings
from harness.store import Store

SIZES = (64, 128, 224)
"""Test scenarios of the behavior at each look of the full profile."""


def bare_lab(folder: Path, profile: Literal["quick", "full"] = "full", say: Callable[[str], None] = lambda _: None) -> Lab:
    """On the behavior "listening"; its engine can do nothing and says what it is."""
    engine: Any = SimpleNamespace(name="hf", numerics="made up")
    arms: Any = None
    return Lab(
        settings=Settings(profile=profile),
        behavior=load_behavior(resolve_behavior("listening")),
        base=Subject("base", Path(), "base"),
        candidate=None,
        layer_kinds=(),
        recordings=Recordings(engine, Store(folder)),
        arms=arms,
        thresholds=load_thresholds(PROJECT / "thresholds.toml"),
        exhibits=Exhibits(folder, "listening"),
        progress=say,
    )
