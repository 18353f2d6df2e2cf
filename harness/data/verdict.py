"""A verdict: what the gate says of one measurement under one threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["pass", "fail", "inconclusive", "settled", "not_applicable", "error"]
"""settled: a finding has an answer, and nothing was expected of it. error: the check itself broke."""


@dataclass(frozen=True)
class Verdict:
    """The outcome with its words."""

    outcome: Outcome
    answer: str
    """The finding's answer, or the number with its unit; a dash where there is neither."""
    message: str
    """One sentence that a tired person understands at 3 a.m.: the numbers, what was expected, what to do."""
    n_to_resolve: int | None = None
    """Scenarios that would settle an inconclusive verdict if the estimate stayed where it is. None where no number would, where so many do
    not exist, and where something else than scenarios sets the interval's width."""
    proven_loss: bool = False
    """Whether it passes although the subject is shown to be worse than before, by less than is tolerated: amber."""
