"""What a run loads: nothing heavy to show its options or collect, and no model's library where everything it asks is in the store."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fixtures.models.figures import TINY_HYBRID
from harness.data.settings import PROJECT

HEAVY = ("torch", "transformers", "peft", "sklearn", "scipy", "matplotlib", "hypothesis", "anyio")
LOADED = f"""
import sys
import pytest
code = pytest.main(sys.argv[1:])
print("loaded", *[name for name in {HEAVY} if name in sys.modules])
sys.exit(code)
"""


def loaded(*arguments: str) -> set[str]:
    """Which of HEAVY a run of pytest has loaded by its end."""
    command = [sys.executable, "-c", LOADED, "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return set(done.stdout.splitlines()[-1].split()[1:])


@pytest.mark.parametrize("arguments", [("--help",), ("evals", "--help"), ("evals", "--co", "-q")])
def test_showing_and_collecting_load_nothing_heavy(arguments: tuple[str, ...]) -> None:
    assert loaded(*arguments) == set()


def test_a_run_whose_answers_are_stored_loads_no_model(tmp_path: Path) -> None:
    places = ("--store", str(tmp_path / "store"), "--reports", str(tmp_path / "reports"), "--no-report")
    run = ("evals/preflight", "--candidate", str(TINY_HYBRID), *places)
    assert {"torch", "transformers", "sklearn"} <= loaded(*run)
    assert loaded(*run) == {"scipy"}
