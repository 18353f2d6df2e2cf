"""A question from outside the tree: a folder of its own with a conftest and one check, run with the real plugin, nothing else touched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from fixtures.models.figures import TINY_HYBRID
from harness.data.settings import PROJECT

FILES = {
    "pytest.ini": """\
[pytest]
addopts = -p harness.gate.plugin -p fixtures.session
evals = q8
""",
    "thresholds.toml": """\
["q8.lean"]
kind = "gate"
at_most = 2
alpha = 0.001
reason = "a base that leans by two nats leaves a training nothing to show"
""",
    "q8/__init__.py": '''\
"""Q8: Does base lean one way before any training?

The log-odds of the behavior over its opposite, on all test scenarios.
"""
''',
    "q8/conftest.py": """\
import pytest

from evals.question import Question
from harness.analysis.estimated import estimated
from harness.analysis.intervals import mean_interval
from harness.experiment.profile import domains_of
from harness.readouts.forced_choice import PRIMARY, UNIT


def lean(lab):
    pairs = lab.pairs("test")
    odds = lab.recordings.forced_choice(lab.base, pairs).metric(PRIMARY)  # [pairs]
    found = estimated(lambda: mean_interval(odds, domains_of(pairs), lab.alpha("q8.lean"), lab.rng("q8.lean")))
    with lab.exhibits.figure("q8-lean", "How far base leans, by scenario") as drawing:
        drawing.axes.hist(odds)
    return lab.measurement("q8.lean", UNIT, found, pairs=pairs, values=odds, exhibits=[drawing.exhibit])


@pytest.fixture(scope="session")
def q8(lab):
    return Question(lab, lambda lab: lab, {"q8.lean": lean})
""",
    "q8/test_lean.py": """\
import pytest


@pytest.mark.gate("q8.lean")
def test_base_leans_neither_way(gate, q8):
    gate.judge(q8("q8.lean"))
""",
}
"""All that a person writes."""


@dataclass(frozen=True)
class Finished:
    """What a run left behind."""

    code: int
    output: str
    gate: dict[str, Any]
    results: dict[str, dict[str, Any]]
    """Allure's results by the check that they are about."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mine")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def run(folder: Path, *arguments: str) -> Finished:
    """pytest in the question's folder; the suite is importable there, as where it is installed."""
    places = ("--thresholds", "thresholds.toml", "--store", "store/.store", "--reports", "reports", "--no-report")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *places, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1", "COLUMNS": "160", "NO_COLOR": "1"}
    environment.pop("PYTEST_ADDOPTS", None)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False)
    reports = folder / "reports"
    assert (reports / "gate.json").is_file(), done.stdout + done.stderr
    files = [json.loads(file.read_text(encoding="utf-8")) for file in (reports / "allure-results").glob("*-result.json")]
    gate = json.loads((reports / "gate.json").read_text(encoding="utf-8"))
    return Finished(done.returncode, done.stdout + done.stderr, gate, {file["testCaseId"]: file for file in files})


@pytest.fixture(scope="module")
def finished(folder: Path) -> Finished:
    return run(folder)


def test_its_check_stands_in_the_table(finished: Finished) -> None:
    assert finished.code == 0, finished.output
    table = [line.split() for line in finished.output.split("behavioral evals =")[1].splitlines()]
    assert ["q8", "lean"] in [words[:2] for words in table]
    assert "verdict over the gates: pass; exit code 0" in finished.output


def test_gate_json_has_it_with_the_title_and_the_threshold_of_its_own_files(finished: Finished) -> None:
    jsonschema.validate(finished.gate, json.loads((PROJECT / "reports" / "gate.schema.json").read_text(encoding="utf-8")))
    (check,) = finished.gate["checks"]
    assert (check["key"], check["kind"], check["verdict"], check["threshold"]["at_most"]) == ("q8.lean[listening]", "gate", "pass", 2)
    assert finished.gate["questions"]["q8"]["title"] == "Q8: Does base lean one way before any training?"
    assert (finished.gate["verdict"], finished.gate["complete"], check["needs"]) == ("pass", True, [])


def test_the_report_has_its_page_with_plot_experiment_and_reason(finished: Finished) -> None:
    page = finished.results["q8.lean[listening]"]["descriptionHtml"]
    for part in ("data:image/png;base64,", "on all test scenarios.", "leaves a training nothing to show", "Scenarios that moved most"):
        assert part in page


def test_with_the_suites_preflight_it_rests_on_that(folder: Path) -> None:
    """Base as its own candidate, so that nothing is trained."""
    finished = run(folder, "-p", "evals.conftest", "--candidate", str(TINY_HYBRID))
    checks = {check["key"]: check for check in finished.gate["checks"]}
    assert checks["q8.lean[listening]"]["needs"] == ["preflight.finite", "preflight.data"], finished.output
    assert {"preflight.finite[listening]", "preflight.data[listening]", "preflight.judge[listening]"} <= set(checks)
    assert (finished.code, checks["q8.lean[listening]"]["verdict"]) == (0, "pass")


def test_its_mistakes_are_one_line_before_anything_loads(folder: Path) -> None:
    options = ["--model", "nonsense", "--thresholds", "thresholds.toml", "--reports", "reports"]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 4 and done.stderr.startswith("ERROR: --model nonsense: no such name or folder; allowed are tiny-hybrid")
