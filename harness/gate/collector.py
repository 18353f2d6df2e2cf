"""Gathers entries from the tests' reports, then has every report of the run written once. Lives in the process that pytest was started in.

An entry that two workers send is kept once: rather a test's own entry than a preflight entry that came along with another test, and rather
the worse verdict than the milder. A worker that crashes leaves an error entry. A report that cannot be written never changes the exit code.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from harness.data.settings import Settings
from harness.gate.history import records as history
from harness.gate.options import in_eval_folder, subject_name
from harness.gate.reports import allure_results, environment, gate_json, html, summary, terminal
from harness.gate.reports.questions import read_questions
from harness.gate.verdict.entry import SEVERITY, Entry
from harness.gate.verdict.judged import Check, error_entry
from harness.gate.verdict.run import Run
from harness.gate.verdict.thresholds import load_thresholds
from harness.gate.verdict.waivers import load_waivers, of_run, waiver_for


class Collector:
    """A plugin of pytest, registered as "evals-collector"; `run` is None until the session is over."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self.config = config
        self.started = datetime.now(UTC)
        cycle = settings.cycle or f"run-{self.started:%Y%m%d-%H%M%S}-{time.time_ns() % 0x10000:04x}"
        self.settings = replace(settings, cycle=cycle)
        self.exchange: Path | None = None
        """Folder in which xdist workers leave the list of selected checks; None without workers."""
        self.run: Run | None = None
        self.notes: list[str] = []
        """One line for each report that could not be written."""
        self._own_results: Path | None = None
        self._announced = False
        self._checks: dict[str, Check] = {}
        self._entries: dict[str, Entry] = {}
        self._seconds: dict[str, float] = {}
        self._crashed: dict[str, str] = {}
        self._failed: set[str] = set()
        self._broken_modules = 0
        self._engine_died = False

    def select(self, checks: list[Check]) -> None:
        """Take these checks as the ones that this run is about: each must end with an entry."""
        self._checks = {check.nodeid: check for check in checks}

    def prepare_reports(self) -> None:
        """Name the JUnit file and the folder of Allure results where the user named none; called before other plugins are configured."""
        option = self.config.option
        if getattr(option, "xmlpath", "absent") is None:
            option.xmlpath = str(self.settings.reports / "junit.xml")
        if getattr(option, "allure_report_dir", "absent") is None:
            self._own_results = self.settings.reports / "allure-results"
            option.allure_report_dir = str(self._own_results)

    def announce(self) -> None:
        """Before anything else: says in gate.json and summary.md that this cycle is not complete, and removes older pages.

        So a run that is killed, or refuses its inputs, leaves no verdict of an earlier one. UsageError where the reports cannot be written.
        """
        cycle, started = str(self.settings.cycle), self.started.isoformat(timespec="seconds")
        beginning = Run(settings=self.settings, cycle=cycle, started=started, entries=(), selected=(), complete=False)
        self._announced = True
        try:
            for page in (self.settings.reports / "html" / "index.html", self.settings.reports / "junit.xml"):
                page.unlink(missing_ok=True)
            gate_json.write(beginning)
            summary.write(beginning)
        except OSError as error:
            raise pytest.UsageError(f"--reports {self.settings.reports}: cannot be written ({error.strerror or error})") from None

    def _withdraw(self) -> None:
        """Removes gate.json and summary.md after a run in which no eval was selected: it has no verdict, and leaves no older one."""
        for name in ("gate.json", "summary.md"):
            (self.settings.reports / name).unlink(missing_ok=True)

    def clear_results(self) -> None:
        """Delete the last run's Allure results, unless the user chose the folder; called once all inputs are known to be good."""
        if self._own_results is not None:
            allure_results.clear(self._own_results)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Takes the entries that a phase of a test brings, here or from a worker."""
        self._engine_died |= getattr(report, "evals_engine_died", False)
        if hasattr(report, "evals_entries"):
            self._seconds[report.nodeid] = self._seconds.get(report.nodeid, 0.0) + report.duration
            for text in report.evals_entries:
                self._add(Entry.loads(text))
        elif report.failed:
            self._failed.add(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Counts modules of evals that cannot be imported."""
        if report.failed and in_eval_folder(self.config, (self.config.rootpath / report.nodeid).resolve()):
            self._broken_modules += 1

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport) -> None:
        """xdist: remembers the test that a worker crashed in."""
        self._crashed[crashitem] = str(report.longrepr)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Writes history and reports and sets the exit code, where evals were selected."""
        self._read_exchange()
        selected = self._checks or self._broken_modules
        if self.config.option.collectonly or not selected or exitstatus == pytest.ExitCode.USAGE_ERROR:
            if self._announced and exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
                self._withdraw()
            return
        self.run = self._finished_run(int(exitstatus))
        if not self._attempt("history", history.append):
            self.run = replace(self.run, is_recorded=False)
        for what, write in (
            ("gate.json", gate_json.write),
            ("summary.md", summary.write),
            ("Allure results", self._write_allure),
        ):
            self._attempt(what, write)
        if exitstatus != pytest.ExitCode.INTERNAL_ERROR:
            session.exitstatus = self.run.exit_code

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Prints the table."""
        if self.run is not None:
            terminal.write_table(terminalreporter, self.run, self.notes)

    def _attempt(self, what: str, write: Callable[[Run], object]) -> bool:
        """Whether it was written; where not, a note says why."""
        assert self.run is not None
        try:
            write(self.run)
        except Exception as error:  # a report must not take the verdict down with it
            self.notes.append(f"{what} could not be written: {type(error).__name__}: {' '.join(str(error).split())}")
            return False
        return True

    def _write_allure(self, run: Run) -> None:
        results = getattr(self.config.option, "allure_report_dir", None)
        if results is None:
            return
        allure_results.complete(Path(results), run, self._crashed)
        note = html.build(run, Path(results)) if run.settings.report else None
        if note is not None:
            self.notes.append(note)

    def _read_exchange(self) -> None:
        if self.exchange is None or not (self.exchange / "selected.json").is_file():
            return
        rows = json.loads((self.exchange / "selected.json").read_text(encoding="utf-8"))
        self.select([Check(**{**row, "needs": tuple(row["needs"])}) for row in rows])

    def _report_order(self, entry: Entry) -> tuple[bool, str, int]:
        """A key to sort by: preflight first, then by question; within a question in the order of collection."""
        nodeids = list(self._checks)
        return entry.question != "preflight", entry.question, nodeids.index(entry.nodeid) if entry.nodeid in nodeids else -1

    def _add(self, entry: Entry) -> None:
        known = self._entries.get(entry.key)
        if known is None or _rank(entry) <= _rank(known):
            self._entries[entry.key] = entry

    def _finished_run(self, exitstatus: int) -> Run:
        thresholds = load_thresholds(self.settings.thresholds).under(self.settings.profile)
        keys = {entry.nodeid for entry in self._entries.values()}
        complete = not self._broken_modules and not self._engine_died
        for nodeid, check in self._checks.items():
            if nodeid in keys and nodeid not in self._crashed:
                continue
            complete = False
            reason = self._crashed.get(nodeid, "the run ended before its test")
            self._add(error_entry(check, subject_name(self.settings), thresholds, reason))
        waivers, cycle, today = load_waivers(self.settings.waivers, thresholds), str(self.settings.cycle), date.today()

        def finished(entry: Entry) -> Entry:
            seconds = round(self._seconds[entry.nodeid], 3) if entry.nodeid in self._seconds else None
            is_gate = entry.kind == "gate"
            waiver = waiver_for(waivers, entry.id, entry.behavior, entry.verdict.outcome, cycle, today) if is_gate else None
            return replace(entry, seconds=seconds, waiver=waiver)

        entries = tuple(map(finished, sorted(self._entries.values(), key=self._report_order)))
        folders = {nodeid.split("::")[0] for nodeid in self._checks}
        return Run(
            settings=self.settings,
            cycle=cycle,
            started=self.started.isoformat(timespec="seconds"),
            entries=entries,
            selected=tuple(check.key for check in self._checks.values()),
            complete=complete,
            questions=read_questions({(self.config.rootpath / folder).parent for folder in folders}),
            environment=environment.describe(self.settings, self.config.rootpath),
            other_failures=len(self._failed - set(self._checks)),
            broken_modules=self._broken_modules,
            interrupted=exitstatus == pytest.ExitCode.INTERRUPTED and not self._broken_modules,
            waivers=of_run(waivers, [entry.waiver for entry in entries if entry.waiver is not None], cycle, today),
        )


def _rank(entry: Entry) -> tuple[bool, int]:
    return entry.nodeid is None, SEVERITY.index(entry.verdict.outcome)
