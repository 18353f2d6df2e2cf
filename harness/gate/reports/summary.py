"""reports/summary.md: the run as one comment on a pull request."""

from __future__ import annotations

from pathlib import Path

from harness.gate.reports.files import write_text
from harness.gate.reports.terminal import HEADINGS, row
from harness.gate.verdict.entry import Entry
from harness.gate.verdict.run import WHAT_TO_DO, Run

SIGNS = {"pass": "✅", "settled": "✅", "fail": "❌", "error": "💥", "inconclusive": "❔", "not_applicable": "⏭️"}

PROVEN_LOSS = "🟠"
"""In place of the sign of a pass, where a loss is proven."""


def write(run: Run) -> Path:
    """Writes summary.md into the run's reports folder and returns its path."""
    return write_text(run.reports / "summary.md", text(run))


def text(run: Run) -> str:
    """Markdown: a headline, the sentences that need a person, the table."""
    subject = run.settings.model + "".join(f" + {path.name}" for path in run.settings.candidates)
    headline = f"{SIGNS[run.verdict]} {run.verdict}" if run.verdict else "no gate was selected"
    if run.verdict == "pass" and any(entry.kind == "gate" for entry in run.losses):
        headline = f"{PROVEN_LOSS} pass, with a proven loss"
    lines = [
        f"## Behavioral evals: {headline}",
        "",
        f"cycle `{run.cycle}`, subject `{subject}`, profile {run.settings.profile}, engine {run.settings.engine}"
        + (" (hf for what it cannot show)" if run.settings.engine != "hf" else "")
        + f", seed {run.settings.seed}"
        + ("" if run.complete else ", **not complete**"),
        "",
    ]
    lines += [
        f"- {SIGNS[entry.verdict.outcome]} {'(waived) ' if entry.waiver else ''}{_cell(entry.verdict.message)}"
        for entry in run.entries
        if entry.verdict.outcome in ("fail", "error", "inconclusive")
    ]
    lines += [f"- {PROVEN_LOSS} {_cell(entry.verdict.message)}" for entry in run.losses]
    lines += [f"- 🟡 {_cell(each.sentence)}" for each in run.waivers]
    if run.exit_code:
        lines += ["", f"What to do: `{WHAT_TO_DO}`"]
    lines += ["", "| " + " | ".join(HEADINGS) + " |", "|" + "---|" * len(HEADINGS)]
    for entry in run.entries:
        cells = [_cell(cell) for cell in row(entry, run)]
        cells[HEADINGS.index("verdict")] = f"{_sign(entry)} {cells[HEADINGS.index('verdict')]}"
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _sign(entry: Entry) -> str:
    return PROVEN_LOSS if entry.verdict.proven_loss else SIGNS[entry.verdict.outcome]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
