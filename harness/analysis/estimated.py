"""An estimate or the reason why there is none, and an answer or the reason why there is none. Missing is never zero."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.analysis.sample import DegenerateSample
from harness.data.measurement import Estimate


@dataclass(frozen=True)
class Estimated:
    """Exactly one of the two is None."""

    value: Estimate | None
    reason: str | None = None
    """Why there is no estimate, as an inconclusive verdict says it."""


def estimated(compute: Callable[[], Estimate]) -> Estimated:
    """What `compute` returns, or the reason that its DegenerateSample gives; any other error is a mistake and passes through."""
    try:
        return Estimated(compute())
    except DegenerateSample as degenerate:
        return Estimated(None, degenerate.reason)


@dataclass(frozen=True)
class Answer:
    """A finding's answer in a word or two. `words` None: the data do not tell the answers apart, and `reason` says why."""

    words: str | None
    reason: str | None = None
    """Beside an answer: what else a reader should know of it."""
