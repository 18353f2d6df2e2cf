"""An arm is a subject after a named training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.data.subject import Subject

ArmKind = Literal["base", "trained", "opposite", "sham"]
Regime = Literal["stream", "steps"]


@dataclass(frozen=True)
class Arm:
    """`n` examples seen in `steps` optimizer steps from initialization and order `seed`; base has n = steps = 0.

    Regime "stream": one pass over the examples in order. "steps": the same number of steps whatever n is.
    """

    subject: Subject
    kind: ArmKind
    n: int = 0
    seed: int = 0
    steps: int = 0
    regime: Regime = "stream"
