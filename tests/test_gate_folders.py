"""No folder that an option names is code: pytest imports the conftest.py of whatever it takes for a path to test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.data.settings import PROJECT

if TYPE_CHECKING:
    from tests.conftest import MakeProject

PATHS = (
    *("--model", "--candidate", "--behavior", "--memory", "--dreams", "--store", "--history"),
    *("--thresholds", "--waivers", "--calibration", "--reports"),
)
"""Every option that takes a path; --lm-eval takes two."""


def trap(folder: Path, marker: Path) -> str:
    """A folder whose conftest.py leaves a mark, and one below it that pytest would look into too."""
    for place in (folder, folder / "testing"):
        place.mkdir(parents=True)
        (place / "conftest.py").write_text(f"open({str(marker)!r}, 'a').write(__file__)\n", encoding="utf-8")
    return str(folder)


def spaced(folder: Path, marker: Path) -> list[str]:
    """Every option with a trap as its value, written with a space."""
    options = [word for option in PATHS for word in (option, trap(folder / option[2:], marker))]
    return [*options, "--lm-eval", trap(folder / "before", marker), trap(folder / "after", marker)]


def pytest_says(*arguments: str, folder: Path = PROJECT) -> str:
    """Runs pytest, which refuses the engine right after it has looked for conftest.py files."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--engine", "gguf", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 4, done.stdout + done.stderr
    return done.stderr.strip()


@pytest.mark.parametrize("evals_first", [True, False])
def test_no_path_of_an_option_is_imported(tmp_path: Path, evals_first: bool) -> None:
    marker = tmp_path / "imported"
    options = spaced(tmp_path / "folders", marker)
    said = pytest_says(*(["evals", *options] if evals_first else [*options, "evals"]))
    assert (said, marker.exists()) == ("ERROR: --engine gguf: not allowed; allowed: hf or vllm", False)


def test_another_configuration_is_refused_before_anything_is_imported(tmp_path: Path) -> None:
    """Without this project's pyproject.toml pytest knows none of the options."""
    marker = tmp_path / "imported"
    said = pytest_says("evals", "--candidate", trap(tmp_path / "adapter", marker), "-o", "addopts=")
    assert (said, marker.exists()) == (
        f"ERROR: pytest did not read {PROJECT}/pyproject.toml, which names the suite's plugins; "
        f"allowed: -c with that file, as in: pytest -c {PROJECT}/pyproject.toml evals",
        False,
    )
    other = tmp_path / "elsewhere"
    other.mkdir()
    named = ("-c", str(PROJECT / "pyproject.toml"), str(PROJECT / "evals"), "--candidate", str(tmp_path / "adapter"), "--reports", "mine")
    assert (pytest_says(*named, folder=other), marker.exists()) == ("ERROR: --engine gguf: not allowed; allowed: hf or vllm", False)


def test_workers_import_none_either(make_project: MakeProject, tmp_path: Path) -> None:
    marker = tmp_path / "imported"
    evals = """
        @pytest.mark.check("q1.effect")
        def test_effect(gate, measured):
            gate.judge(measured("q1.effect", 0.3))
    """
    result = make_project(tmp_path / "project", evals).run("evals", "-n", "1", "--candidate", trap(tmp_path / "adapter", marker))
    assert (result.code, result.verdicts["q1.effect[listening]"], marker.exists()) == (0, "pass", False)


def test_the_trap_springs_where_pytest_does_not_know_the_option(tmp_path: Path) -> None:
    """What the tests above look for does happen: here the option is nobody's."""
    marker, project = tmp_path / "imported", tmp_path / "project"
    (project / "evals").mkdir(parents=True)
    (project / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    pytest_says("evals", "--candidate", trap(tmp_path / "adapter", marker), folder=project)
    assert marker.exists()
