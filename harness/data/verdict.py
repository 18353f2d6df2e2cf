"""A verdict: what the gate says of one measurement under one threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["pass", "fail", "inconclusive", "settled", "not_applicable", "error"]


@dataclass(frozen=True)
class Verdict:
    """`message` is one sentence that a tired person understands at 3 a.m."""

    outcome: Outcome
    answer: str
    message: str
    n_to_resolve: int | None = None
    """Scenarios that would settle an inconclusive verdict if the estimate stayed where it is."""
