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
"""Exit codes. 3 is also pytest's own for an internal error: both say that the instrument broke."""

WHAT_TO_DO = "docs/gate-went-red.md"
"""The page of the repository that every report of a red run names."""


@dataclass(frozen=True)
class QuestionText:
    """What a question says of itself in the docstring of its folder."""

    id: str
    """The folder's name, which is the part of its check ids before the dot."""
    title: str
    """The first line of the docstring."""
    experiment: str
    """The whole docstring."""


@dataclass(frozen=True)
class Run:
    """One run of pytest in which at least one eval was selected."""

    settings: Settings
    cycle: str
    """As given with --cycle; the time where none was given."""
    started: str
    """When it began: UTC, ISO 8601."""
    entries: tuple[Entry, ...]
    """One for every selected check and for preflight that came along, in the order of the reports."""
    selected: tuple[str, ...]
    """Keys of the checks whose tests were selected, such as "q1.knee[listening]". Preflight that came along is not among them."""
    complete: bool
    """False where a selected test did not finish: killed, stopped, crashed, or its engine died."""
    questions: Mapping[str, QuestionText] = field(default_factory=dict)
    """The questions whose checks are in this run, by id."""
    environment: Mapping[str, Any] = field(default_factory=dict)
    """Versions, device and commit."""
    other_failures: int = 0
    """Failed tests of the same session that are no evals."""
    broken_modules: int = 0
    """Modules of evals that could not be imported."""
    interrupted: bool = False
    """Whether a person stopped it."""
    is_recorded: bool = True
    """False where the history could not be written: later cycles cannot be compared with this one, so the instrument broke."""
    waivers: tuple[WaiverOfRun, ...] = ()
    """The waivers that name this cycle."""

    @property
    def reports(self) -> Path:
        """Folder of gate.json and the report."""
        return self.settings.reports

    @property
    def verdict(self) -> Outcome | None:
        """The verdict over the gates, waived ones included; None where no gate said anything. A gate that did not run is an error."""
        outcomes = [entry.verdict.outcome for entry in self.entries if entry.kind == "gate"]
        outcomes = [outcome for outcome in outcomes if outcome != "not_applicable"]
        if (self.broken_modules or self.is_beginning) and "fail" not in outcomes:
            return "error"
        return worst(outcomes)

    @property
    def exit_code(self) -> int:
        """pytest's exit code: over everything that was selected, except gates that are waived. A gate that is inconclusive is never 0."""
        if self.interrupted:
            return INTERRUPTED
        blocking = [entry for entry in self.entries if entry.waiver is None]
        outcomes = {entry.verdict.outcome for entry in blocking}
        if "fail" in outcomes or self.other_failures:
            return FAILED
        if "error" in outcomes or self.broken_modules or not self.complete or not self.is_recorded:
            return BROKEN
        open_gates = any(entry.kind == "gate" and entry.verdict.outcome == "inconclusive" for entry in blocking)
        if open_gates or ("inconclusive" in outcomes and self.settings.inconclusive == "fail"):
            return FAILED
        return PASSED

    @property
    def is_beginning(self) -> bool:
        """Whether nothing has come of it yet: what stands in gate.json until the run ends, so that a killed run leaves no older verdict."""
        return not self.complete and not self.entries

    @property
    def losses(self) -> tuple[Entry, ...]:
        """Entries that pass although a loss is proven."""
        return tuple(entry for entry in self.entries if entry.verdict.proven_loss)

    @property
    def waived(self) -> tuple[Entry, ...]:
        """Gates that are kept from blocking."""
        return tuple(entry for entry in self.entries if entry.waiver is not None)

    def of_question(self, question: str) -> tuple[Entry, ...]:
        """The entries of one question, by its id."""
        return tuple(entry for entry in self.entries if entry.question == question)

    @property
    def question_ids(self) -> tuple[str, ...]:
        """Every question in this run, in the order of the entries."""
        return tuple(dict.fromkeys(entry.question for entry in self.entries))
