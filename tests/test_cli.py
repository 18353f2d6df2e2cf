"""`python -m harness`: exit codes and one-line answers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from harness.__main__ import app
from harness.data.measurement import Estimate, Measurement
from harness.data.settings import PROJECT, Settings
from harness.data.verdict import Verdict
from harness.gate.history import records as history
from harness.gate.verdict.entry import Entry
from harness.gate.verdict.run import Run

HEAVY = ("torch", "transformers", "peft", "scipy", "matplotlib")


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """A history with one green cycle, "good", and one red, "bad"; beside it a thresholds.toml with their one gate."""
    path = tmp_path / "history.sqlite"
    gate = 'kind = "gate"\nalpha = 0.002\nat_least = 0.1\nreason = "a test"\n'
    (tmp_path / "thresholds.toml").write_text(f'["q4.regression"]\n{gate}', encoding="utf-8")
    estimate = Estimate(0.3, 0.2, 0.4, 0.2, 0.4, 0.002, 40, 8)
    for cycle, verdict in (("good", Verdict("pass", "0.3", "fine")), ("bad", Verdict("fail", "0.3", "worse"))):
        entry = Entry("q4.regression", "listening", "gate", verdict, Measurement("q4.regression", "listening", "nats", estimate))
        history.append_to(path, Run(Settings(), cycle, "2026-01-01T00:00:00+00:00", (entry,), (), complete=True))
    return path


@pytest.mark.parametrize(
    "command",
    [
        ("runpy", "harness", "doctor", "--help"),
        ("runpy", "harness", "calibrate", "--help"),
        ("runpy", "pytest", "-p", "harness.gate.plugin", "--noconftest", "-p", "no:cacheprovider", "--help"),
    ],
)
def test_help_loads_nothing_heavy(command: tuple[str, ...]) -> None:
    program = (
        "import runpy, sys\n"
        f"sys.argv = ['x', *{list(command[2:])!r}]\n"
        "try:\n"
        f"    runpy.run_module({command[1]!r}, run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        f"found = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "assert not found, found\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def accept(recorded: Path, *arguments: str) -> Result:
    return invoke("accept", *arguments, "--history", str(recorded), "--thresholds", str(recorded.with_name("thresholds.toml")))


def test_a_green_cycle_is_accepted(recorded: Path) -> None:
    result = accept(recorded, "good")
    assert (result.exit_code, result.stdout) == (0, "good is the baseline now\n") and history.last_accepted(recorded) == "good"


def test_a_red_cycle_is_accepted_only_with_a_reason(recorded: Path) -> None:
    refused = accept(recorded, "bad")
    assert refused.exit_code == 4 and "accept it only with --force REASON" in refused.stderr and refused.stderr.count("\n") == 1
    assert accept(recorded, "bad", "--force", "a known flaw").exit_code == 0


def test_a_run_of_one_gate_is_not_accepted_where_the_suite_has_more(recorded: Path) -> None:
    refused = invoke("accept", "good", "--history", str(recorded))
    assert refused.exit_code == 4 and "not run: preflight.adapter_is_live[listening], " in refused.stderr
    assert "q6.code[listening]" in refused.stderr and "q4.regression[listening]" not in refused.stderr


def test_diff_prints_a_line_for_each_check(recorded: Path) -> None:
    result = invoke("diff", "good", "bad", "--history", str(recorded))
    assert result.stdout == "q4.regression[listening]: pass -> fail; 0.3 -> 0.3 (+0) nats\n"


def test_diff_names_an_unknown_cycle(recorded: Path) -> None:
    result = invoke("diff", "good", "nonsense", "--history", str(recorded))
    assert result.exit_code == 4 and result.stderr == f"cycle nonsense: not in {recorded}; recorded last: good, bad\n"


def test_report_without_a_run_says_what_to_do(tmp_path: Path) -> None:
    result = invoke("report", "--reports", str(tmp_path))
    assert (result.exit_code, result.stderr) == (4, f"{tmp_path}/allure-results: no results of a run; run pytest evals first\n")


def test_doctor_says_what_is_wrong_with_the_thresholds(tmp_path: Path) -> None:
    result = invoke("doctor", "--thresholds", str(tmp_path / "none.toml"))
    assert (
        result.exit_code == 4
        and f"NOT OK thresholds: {tmp_path}/none.toml: cannot be read" in result.stdout
        and "versions: python 3" in result.stdout
    )


def test_doctor_refuses_an_unknown_behavior() -> None:
    result = invoke("doctor", "--behavior", "nonsense")
    assert result.exit_code == 4 and result.stderr.startswith("--behavior nonsense: no such behavior; allowed: ")


def test_a_new_behavior_is_a_skeleton_with_a_name(tmp_path: Path) -> None:
    result = invoke("new-behavior", str(tmp_path / "patience"))
    assert result.exit_code == 0 and 'name = "patience"' in (tmp_path / "patience" / "behavior.toml").read_text(encoding="utf-8")


def test_a_folder_that_is_no_behavior_is_refused(tmp_path: Path) -> None:
    result = invoke("check-behavior", str(tmp_path))
    assert result.exit_code == 4 and "behavior.toml" in result.stderr and result.stderr.count("\n") == 1


def test_check_behavior_reports_each_finding() -> None:
    result = invoke("check-behavior", str(PROJECT / "fixtures" / "behaviors" / "listening"))
    assert result.stdout and all(line.startswith(("ok ", "NOT OK ")) for line in result.stdout.splitlines())


def test_a_memory_graph_goes_into_a_store_and_comes_out_again(tmp_path: Path) -> None:
    store, out = tmp_path / "memory.sqlite", tmp_path / "out"
    taken = invoke("memory", "import", "fixtures/memory", str(store))
    given = invoke("memory", "export", str(store), str(out))
    assert (taken.exit_code, given.exit_code) == (0, 0)
    assert taken.stdout.split("digest")[1] == given.stdout.split("digest")[1]
    again = invoke("memory", "export", str(store), str(out))
    assert again.exit_code == 4 and "holds a memory graph already" in again.stderr


def test_train_refuses_to_go_on_from_what_is_no_adapter(tmp_path: Path) -> None:
    result = invoke("train", "--behavior", "listening", "--start", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out"))
    assert result.exit_code == 4 and result.stderr.count("\n") == 1 and not (tmp_path / "out").exists()
    assert "nowhere: no adapter_model.safetensors in it; allowed is the folder of an adapter that this command trained" in result.stderr
