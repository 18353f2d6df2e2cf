"""A run: everything the reports need to know of it, and the exit code that follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.data.settings import Settings
from harness.data.verdict import Outcome
from harness.gate.verdict.entry import Entry, worst
from harness.gate.verdict.waivers import WaiverOfRun

PASSED, FAILED, INTERRUPTED, BROKEN, USAGE, NOTHING_SELECTED = range(6)
"""Exit codes. 3 is pytest's own for an internal error too: both say that the instrument broke."""


@dataclass(frozen=True)
class Question:
    """A question's folder: the first line of its docstring and all of it."""

    id: str
    title: str
    experiment: str


@dataclass(frozen=True)
class Run:
    """One run of pytest in which at least one eval was selected."""

    settings: Settings
    cycle: str
    started: str
    """UTC, ISO 8601."""
    entries: tuple[Entry, ...]
    selected: tuple[str, ...]
    """Keys of the checks whose tests were selected, "q1.knee[listening]"; preflight that came along is not among them."""
    complete: bool
    """False where a selected test did not finish: killed, stopped, crashed, or its engine died."""
    questions: Mapping[str, Question] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    other_failures: int = 0
    """Failed tests of the same session that are no evals."""
    broken_modules: int = 0
    """Eval modules that could not be collected."""
    interrupted: bool = False
    waivers: tuple[WaiverOfRun, ...] = ()
    """Those that name this cycle."""

    @property
    def reports(self) -> Path:
        return self.settings.reports

    @property
    def verdict(self) -> Outcome | None:
        """Over the gates, waived ones included; None where no gate said anything. A gate that did not run is an error, never a pass."""
        outcomes = [entry.verdict.outcome for entry in self.entries if entry.kind == "gate"]
        outcomes = [outcome for outcome in outcomes if outcome != "not_applicable"]
        if self.broken_modules and "fail" not in outcomes:
            return "error"
        return worst(outcomes)

    @property
    def exit_code(self) -> int:
        """Over everything selected, gates or not, but for gates that are waived."""
        if self.interrupted:
            return INTERRUPTED
        outcomes = {entry.verdict.outcome for entry in self.entries if entry.waiver is None}
        if "fail" in outcomes or self.other_failures:
            return FAILED
        if "error" in outcomes or self.broken_modules or not self.complete:
            return BROKEN
        if "inconclusive" in outcomes and self.settings.inconclusive == "fail":
            return FAILED
        return PASSED

    @property
    def waived(self) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.waiver is not None)

    def of_question(self, question: str) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.question == question)

    @property
    def question_ids(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(entry.question for entry in self.entries))
