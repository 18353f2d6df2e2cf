"""The table at the end of a run: question, check, answer, estimate with interval, threshold, n, verdict, seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.data.verdict import Outcome
from harness.gate.verdict.entry import Entry
from harness.gate.verdict.run import WHAT_TO_DO, Run
from harness.gate.verdict.verdicts import describe, noise_of

HEADINGS = ("question", "check", "answer", "estimate", "threshold", "n", "verdict", "seconds")
COLORS: dict[Outcome, str] = {
    "pass": "green",
    "settled": "green",
    "fail": "red",
    "error": "red",
    "inconclusive": "yellow",
    "not_applicable": "cyan",
}
AMBER = "yellow"
"""Color of a pass with a proven loss."""
LONGEST = 34
"""Characters of an answer; the whole of it stands in the report."""


def row(entry: Entry, run: Run) -> tuple[str, ...]:
    """The cells of one line, a cell for each of HEADINGS; also for summary.md. The behavior is named where the run has several."""
    seconds = "" if entry.seconds is None else f"{entry.seconds:.1f}"
    n = "" if entry.measurement is None or entry.measurement.estimate is None else str(entry.measurement.estimate.n)
    name = (entry.key if len(run.settings.behaviors) > 1 else entry.id).split(".", 1)[-1]
    return (
        entry.question,
        name,
        entry.verdict.answer,
        interval(entry),
        describe(entry.threshold) + tolerated(entry),
        n,
        outcome_in_words(entry) + (", waived" if entry.waiver else ""),
        seconds,
    )


def outcome_in_words(entry: Entry) -> str:
    """The outcome; a pass with a proven loss says so."""
    return entry.verdict.outcome.replace("_", " ") + (", proven loss" if entry.verdict.proven_loss else "")


def tolerated(entry: Entry) -> str:
    """` (seeds: 0.19)`: the change that is tolerated beside the threshold because two seeds may differ by it; else empty."""
    noise = noise_of(entry.measurement, entry.threshold) if entry.measurement and entry.threshold else 0.0
    return f" (seeds: {noise:.2g})" if noise else ""


def interval(entry: Entry) -> str:
    """`0.42 [0.31, 0.53]`, estimate and 95 % interval; empty where there is no number."""
    estimate = None if entry.measurement is None else entry.measurement.estimate
    return "" if estimate is None else f"{estimate.value:.3g} [{estimate.low:.3g}, {estimate.high:.3g}]"


def write_table(terminal: Any, run: Run, notes: Sequence[str]) -> None:
    """Prints the table, a sentence for everything that is not fine, the verdict, `notes`, and where the report is.

    `terminal` is pytest's TerminalReporter, `notes` a line for each report that could not be written.
    """
    rows = [tuple(cell if len(cell) <= LONGEST else cell[: LONGEST - 1] + "…" for cell in row(entry, run)) for entry in run.entries]
    widths = [max(len(line[column]) for line in (HEADINGS, *rows)) for column in range(len(HEADINGS))]
    terminal.write_sep("=", "behavioral evals")
    terminal.write_line("  ".join(heading.ljust(width) for heading, width in zip(HEADINGS, widths, strict=True)).rstrip(), bold=True)
    for entry, cells in zip(run.entries, rows, strict=True):
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True)):
            text = cell.rjust(width) if HEADINGS[column] in ("n", "seconds") else cell.ljust(width)
            color = AMBER if entry.verdict.proven_loss else COLORS[entry.verdict.outcome]
            terminal.write(text + "  ", **({color: True} if HEADINGS[column] == "verdict" else {}))
        terminal.write_line("")
    for entry in run.entries:
        if entry.verdict.outcome in ("fail", "error", "inconclusive"):
            terminal.write(f"{entry.verdict.outcome}: ", **{COLORS[entry.verdict.outcome]: True})
            terminal.write_line(entry.verdict.message)
    for entry in run.losses:
        terminal.write("proven loss: ", **{AMBER: True})
        terminal.write_line(entry.verdict.message)
    for each in run.waivers:
        terminal.write_line(f"waiver: {each.sentence}", yellow=True)
    incomplete = "" if run.complete else ", the run is not complete"
    waived = f", waived: {', '.join(entry.key for entry in run.waived)}" if run.waived else ""
    lost = f", proven losses: {', '.join(entry.key for entry in run.losses)}" if run.losses else ""
    said = run.verdict or "no gate was selected"
    terminal.write_line(f"verdict over the gates: {said}{lost}{waived}{incomplete}; exit code {run.exit_code}")
    if run.exit_code:
        terminal.write_line(f"what to do: {WHAT_TO_DO}")
    for note in notes:
        terminal.write_line(note, yellow=True)
    page = run.reports / "html" / "index.html"
    shown = page if run.settings.report and page.is_file() and not notes else run.reports / "summary.md"
    terminal.write_line(f"report: {shown}")
