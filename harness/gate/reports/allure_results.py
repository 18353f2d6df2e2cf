"""What Allure shows of each check: its result files, filled in by the controller once all entries are known.

allure-pytest writes one result per test, with a label that names the test. Here each result gets its verdict, title, page and
exhibits. Entries without a test of their own, and tests whose worker crashed, get a result too. An inconclusive result is
"broken", with a message that the category looks for, because Allure would count "skipped" as fine.
"""

from __future__ import annotations

import hashlib
import json
import mimetypes
import shutil
import time
import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from harness.data.measurement import Level
from harness.data.verdict import Outcome
from harness.gate.reports.calibration_page import CalibrationPage, pages
from harness.gate.reports.check_page import page, scenarios
from harness.gate.reports.files import write_text
from harness.gate.verdict.entry import Entry
from harness.gate.verdict.run import Run

TEST_LABEL = "evals_test"
STATUS: dict[Outcome, str] = {
    "pass": "passed",
    "settled": "passed",
    "fail": "failed",
    "inconclusive": "broken",
    "error": "broken",
    "not_applicable": "skipped",
}
SEVERITY_LABEL = {"gate": "blocker", "check": "normal", "finding": "minor"}


def history_id(key: str) -> str:
    """The identity under which Allure follows a check through cycles: a digest of the key and one of no parameters, with a dot between."""
    return ".".join(hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() for text in (key, ""))


def clear(folder: Path) -> None:
    """Make the results folder empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)


def name_test(nodeid: str) -> None:
    """Labels the running test's Allure result, so that it is found again; does nothing where allure-pytest is absent."""
    try:
        import allure
    except ImportError:
        return
    allure.dynamic.label(TEST_LABEL, nodeid)  # type: ignore[no-untyped-call]


def complete(folder: Path, run: Run, crashed: Mapping[str, str]) -> None:
    """Fill in the results of all entries, and write environment and metrics beside them.

    `crashed` maps the node id of a test to what xdist said of the worker that crashed in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = _by_test(folder.glob("*-result.json"))
    known = scenarios(run.settings)
    began, stop = int(datetime.fromisoformat(run.started).timestamp() * 1000), int(time.time() * 1000)
    for order, entry in enumerate(run.entries):
        results = written.get(entry.nodeid or "", {})
        if not results:
            identity = uuid.uuid4().hex
            blank = {"uuid": identity, "fullName": entry.key, "stage": "finished"}
            results = {folder / f"{identity}-result.json": {**blank, "start": began + order, "stop": began + order}}
        for path, result in results.items():
            trace = crashed.get(entry.nodeid or "") or (result.get("statusDetails") or {}).get("trace")
            filled = _filled(result, entry, run, page(entry, run, known.get(entry.behavior or "", {})), trace)
            filled["attachments"] = [*result.get("attachments", ()), *_attach(entry, folder)]
            write_text(path, json.dumps(filled))
    for calibration in pages(run):
        identity = uuid.uuid4().hex
        write_text(folder / f"{identity}-result.json", json.dumps(_calibration(calibration, identity, began + len(run.entries))))
    write_text(folder / "environment.properties", _properties(run))
    metrics = [
        {"id": entry.key, "key": entry.key, "value": level.value, "start": stop, "stop": stop + 1}
        for entry in run.entries
        if (level := followed(entry)) is not None
    ]
    write_text(folder / "evals-perf.json", json.dumps(metrics))


def followed(entry: Entry) -> Level | None:
    """What the Metrics page follows over cycles; None where nothing was measured."""
    return None if entry.measurement is None else entry.measurement.followed


def _calibration(page: CalibrationPage, identity: str, at: int) -> dict[str, Any]:
    """The page as a result of its own: it says how far verdicts can be trusted, and is no check of this cycle."""
    key = f"calibration {page.name}"
    labels = [{"name": "epic", "value": "calibration: how often the gate errs"}, {"name": "tag", "value": "calibration"}]
    result = {"uuid": identity, "fullName": key, "name": page.title, "stage": "finished", "start": at, "stop": at, "labels": labels}
    result |= {"status": "passed" if page.holds else "broken", "descriptionHtml": page.html, "parameters": []}
    details = {} if page.holds else {"message": f"INCONCLUSIVE: {page.title}"}
    return {**result, "testCaseId": key, "historyId": history_id(key), "statusDetails": details}


def _by_test(paths: Iterable[Path]) -> dict[str, dict[Path, dict[str, Any]]]:
    found: dict[str, dict[Path, dict[str, Any]]] = {}
    for path in paths:
        result = json.loads(path.read_text(encoding="utf-8"))
        for label in result.get("labels", ()):
            if label["name"] == TEST_LABEL:
                found.setdefault(label["value"], {})[path] = result
    return found


def _filled(result: Mapping[str, Any], entry: Entry, run: Run, html: str, trace: str | None) -> dict[str, Any]:
    outcome = entry.verdict.outcome
    question = run.questions.get(entry.question)
    labels = [
        label for label in result.get("labels", ()) if label["name"] not in ("epic", "severity", "parentSuite", "suite", "subSuite", "tag")
    ]
    title = f"{entry.question}: {question.title}" if question is not None and question.title != entry.question else entry.question
    labels += [
        {"name": "epic", "value": title},
        {"name": "severity", "value": SEVERITY_LABEL[entry.kind]},
        {"name": "tag", "value": entry.kind},
        {"name": "tag", "value": outcome.replace("_", " ")},
        *([{"name": "tag", "value": "waived"}] if entry.waiver is not None else []),
        *([{"name": "tag", "value": "proven loss"}] if entry.verdict.proven_loss else []),
    ]
    waived = f" Waived until {entry.waiver.expires}: {entry.waiver.reason}." if entry.waiver is not None else ""
    details: dict[str, Any] = {"message": f"{outcome.upper().replace('_', ' ')}: {entry.verdict.message}{waived}"}
    if outcome == "error" and trace:
        details["trace"] = trace
    answer = "" if entry.verdict.answer == "-" else f": {entry.verdict.answer}"
    answer += " (proven loss)" if entry.verdict.proven_loss else ""
    filled = {**result, "name": f"{entry.key}{answer}", "status": STATUS[outcome], "labels": labels, "descriptionHtml": html}
    filled |= {"testCaseId": entry.key, "historyId": history_id(entry.key), "parameters": []}
    filled["statusDetails"] = {} if outcome in ("pass", "settled") and not entry.verdict.proven_loss else details
    return filled


def _attach(entry: Entry, folder: Path) -> list[dict[str, str]]:
    attached = []
    for exhibit in entry.measurement.exhibits if entry.measurement else ():
        if not exhibit.path.is_file():
            continue
        source = f"{uuid.uuid4().hex}-attachment{exhibit.path.suffix}"
        shutil.copyfile(exhibit.path, folder / source)
        kind = mimetypes.guess_type(exhibit.path.name)[0] or "text/plain"
        attached.append({"name": exhibit.title, "source": source, "type": kind})
    return attached


def _properties(run: Run) -> str:
    settings = run.settings
    rows = {
        "cycle": run.cycle,
        "model": settings.model,
        "candidate": ", ".join(map(str, settings.candidates)) or "none",
        "profile": settings.profile,
        "engine": settings.engine,
        "seed": settings.seed,
        "device": run.environment.get("device"),
        "commit": run.environment.get("git"),
        **run.environment.get("versions", {}),
    }
    return "".join(f"{name} = {value}\n" for name, value in rows.items() if value is not None)
