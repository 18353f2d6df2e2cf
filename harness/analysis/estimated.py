"""An estimate, or the reason why there is none; an answer, or the reason why there is none. A missing value is never 0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.analysis.sample import DegenerateSample
from harness.data.measurement import Estimate


@dataclass(frozen=True)
class Estimated:
    """An estimate, or the reason why there is none."""

    value: Estimate | None
    reason: str | None = None
    """Why there is no estimate, in the words of an inconclusive verdict; None where there is one."""


def estimated(compute: Callable[[], Estimate]) -> Estimated:
    """What `compute` returns, or the reason of the DegenerateSample that it raises. Any other error passes through: it is a mistake."""
    try:
        return Estimated(compute())
    except DegenerateSample as degenerate:
        return Estimated(None, degenerate.reason)


@dataclass(frozen=True)
class Answer:
    """A finding's answer, or the reason why there is none."""

    words: str | None
    """The answer in a word or two; None where the data do not tell the answers apart."""
    reason: str | None = None
    """Why there is no answer; beside an answer, what else a reader should know of it."""
