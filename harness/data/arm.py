"""An arm is a subject after a named training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.data.subject import Subject

ArmKind = Literal["base", "trained", "opposite", "sham"]
"""What was trained on: nothing, positive completions, negative completions, or neutral conversations."""
Regime = Literal["stream", "steps"]
"""stream: one pass over the examples, one example a step. steps: the same number of optimizer steps whatever the number of examples."""


@dataclass(frozen=True)
class Arm:
    """A trained subject and how it was trained. The base arm has n = steps = 0."""

    subject: Subject
    kind: ArmKind
    n: int = 0
    """Different examples seen."""
    seed: int = 0
    """Decides the examples, their order and the adapter's initial weights."""
    steps: int = 0
    """Optimizer steps."""
    regime: Regime = "stream"
