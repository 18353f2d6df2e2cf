"""reports/gate.json: the contract for CI. Its JSON Schema is reports/gate.schema.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.gate.reports.files import write_text
from harness.gate.verdict.entry import SCHEMA, Entry, plain, worst
from harness.gate.verdict.run import Run

DIGESTS = ("base", "subject", "behavior")
"""Names under which experiments keep digests in a measurement's provenance, beside those that end in "digest"."""


def write(run: Run) -> Path:
    """Writes gate.json into the run's reports folder and returns its path."""
    return write_text(run.reports / "gate.json", json.dumps(content(run), indent=1, allow_nan=False) + "\n")


def content(run: Run) -> dict[str, Any]:
    """What stands in the file, ready for JSON; whatever is missing is None."""
    settings = run.settings
    return {
        "schema": SCHEMA,
        "verdict": run.verdict,
        "exit_code": run.exit_code,
        "complete": run.complete,
        "selected": list(run.selected),
        "cycle": run.cycle,
        "seed": settings.seed,
        "profile": settings.profile,
        "engine": settings.engine,
        "subject": {
            "base": settings.model,
            "candidate": [str(path) for path in settings.candidates] or None,
            "digests": digests(run.entries),
        },
        "environment": plain(dict(run.environment)),
        "questions": {question: _question(run, question) for question in run.question_ids},
        "checks": [entry.check() for entry in run.entries],
        "waivers": [each.row() for each in run.waivers],
    }


def digests(entries: tuple[Entry, ...]) -> dict[str, list[str]]:
    """Name to the digests found under it in the measurements' provenance; several where checks were about different content."""
    found: dict[str, list[str]] = {}
    for entry in entries:
        for name, value in (entry.measurement.provenance if entry.measurement else {}).items():
            if name in DIGESTS or name.endswith("digest"):
                found.setdefault(name, [])
                found[name] += [] if value in found[name] else [value]
    return found


def answer(entries: tuple[Entry, ...]) -> str | None:
    """A question's answer: the answers of its findings, or of its checks where it has no finding; None where none has an answer."""
    findings = [entry for entry in entries if entry.kind == "finding"]
    said = [f"{entry.key.split('.', 1)[1]}: {entry.verdict.answer}" for entry in findings or entries if entry.verdict.answer != "-"]
    return "; ".join(said) or None


def _question(run: Run, question: str) -> dict[str, Any]:
    entries = run.of_question(question)
    known = run.questions.get(question)
    return {
        "title": known.title if known else question,
        "verdict": worst([entry.verdict.outcome for entry in entries]),
        "answer": answer(entries),
        "seconds": round(sum(entry.seconds or 0.0 for entry in entries), 3),
    }
