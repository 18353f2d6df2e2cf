"""Checks over several workers: shared through the store, with the numbers of one worker, nothing computed twice and nothing unasked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.data.settings import PROJECT

FILES = {
    "pytest.ini": """\
[pytest]
addopts = -p harness.gate.plugin -p fixtures.session
evals = q8
""",
    "thresholds.toml": "",
    "q8/__init__.py": '"""Q8: Is work shared?"""\n',
    "q8/conftest.py": """\
import os
import time
from dataclasses import replace
from functools import cached_property, partial

import numpy as np
import pytest

from evals.question import Question
from harness.analysis.intervals import mean_interval
from harness.readouts.recordings import Recordings
from harness.store import Store
from tests.bench import bare_lab

LOG = os.environ["LOG"]
WORKERS = int(os.environ["WORKERS"])
PATIENCE_S = 60


def builders():
    try:
        with open(LOG) as log:
            return {line.split()[1] for line in log}
    except FileNotFoundError:
        return set()


class Study:
    def __init__(self, lab):
        self.lab = lab

    def unit(self, part, place):
        def compute():
            with open(LOG, "a") as log:
                log.write(f"{part}-{place} {os.getpid()}\\n")
            until = time.monotonic() + PATIENCE_S
            while part == "common" and len(builders()) < WORKERS and time.monotonic() < until:
                time.sleep(0.02)
            return {"value": np.random.default_rng([len(part), place]).standard_normal(8)}

        return self.lab.store.arrays("units", {"part": part, "place": place}, compute)["value"]

    def units(self, part, count):
        return np.concatenate(self.lab.store.in_any_order([partial(self.unit, part, place) for place in range(count)]))

    @cached_property
    def common(self):
        return self.units("common", 6)


def measure(id, part):
    def measured(study):
        values = study.common + study.units(part, 6)
        return study.lab.measurement(id, "x", mean_interval(values, None, 0.001, study.lab.rng(id)))

    return measured


@pytest.fixture
def lab(tmp_path, settings):
    made = bare_lab(tmp_path, "quick")
    return replace(made, recordings=Recordings(made.recordings.engine, Store(settings.store)))


@pytest.fixture
def q8(lab):
    return Question(lab, Study, {f"q8.{part}": measure(f"q8.{part}", part) for part in ("one", "two", "three")})
""",
    "q8/test_shared.py": """\
import pytest


@pytest.mark.finding("q8.one")
def test_one(gate, q8):
    gate.judge(q8("q8.one"))


@pytest.mark.finding("q8.two")
def test_two(gate, q8):
    gate.judge(q8("q8.two"))


@pytest.mark.finding("q8.three")
def test_three(gate, q8):
    gate.judge(q8("q8.three"))
""",
}
"""A question of three checks that share six pieces of work and have six each of their own. A piece of the shared work waits until as many
processes as there are workers have begun one."""


@dataclass(frozen=True)
class Ran:
    checks: list[dict[str, Any]]
    built: list[str]
    """Every piece of work that was done, by name, as often as it was done; sorted."""
    builders: set[str]
    """Processes that did one of the shared pieces."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shared")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def run(folder: Path, name: str, workers: int, *arguments: str) -> Ran:
    """The question from an empty store."""
    log = folder / f"{name}.log"
    spread = ("-n", str(workers), "--dist", "load", "--maxschedchunk", "1") if workers else ()
    places = ("--thresholds", "thresholds.toml", "--store", f"{name}/store", "--reports", f"{name}/reports", "--no-report")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *places, *spread, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1", "LOG": str(log), "WORKERS": str(max(1, workers))}
    environment.pop("PYTEST_ADDOPTS", None)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False)
    gate = json.loads((folder / name / "reports" / "gate.json").read_text(encoding="utf-8"))
    assert gate["complete"], done.stdout + done.stderr
    lines = [line.split() for line in log.read_text().splitlines()]
    return Ran(gate["checks"], sorted(unit for unit, _ in lines), {pid for unit, pid in lines if unit.startswith("common")})


@pytest.fixture(scope="module")
def alone(folder: Path) -> Ran:
    """Without workers."""
    return run(folder, "alone", 0)


PARTS = ("common", "one", "two", "three")


def numbers(ran: Ran) -> dict[str, list[float]]:
    return {check["id"]: [check[name] for name in ("estimate", "low", "high", "low_alpha", "high_alpha")] for check in ran.checks}


@pytest.mark.parametrize("workers", [pytest.param(2, marks=pytest.mark.slow), 3])
def test_workers_divide_what_their_checks_share_and_do_nothing_twice(folder: Path, alone: Ran, workers: int) -> None:
    ran = run(folder, f"by {workers}", workers)
    assert ran.built == sorted(f"{part}-{place}" for part in PARTS for place in range(6)) == alone.built
    assert len(ran.builders) == workers and len(alone.builders) == 1
    assert numbers(ran) == numbers(alone) and len(numbers(ran)) == 3


def test_what_was_not_selected_is_not_computed(folder: Path, alone: Ran) -> None:
    ran = run(folder, "one check", 0, "-k", "test_two")
    assert ran.built == sorted(f"{part}-{place}" for part in ("common", "two") for place in range(6))
    assert numbers(ran) == {"q8.two": numbers(alone)["q8.two"]}
