"""One thing that `doctor` looked at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """A line of `doctor`'s answer."""

    what: str
    """Its name: "inputs", "model", "vllm's memory"."""
    found: str
    """One line: what is there, or what is wrong with it and what is allowed."""
    fine: bool = True
    """False where `pytest evals` would refuse to start."""
