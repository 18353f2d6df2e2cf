"""Reading lm-evaluation-harness: a recorded run of the real tool, the real tool itself where it is installed, and refusals."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures.models.figures import TINY_HYBRID
from harness.data.errors import InputError
from harness.data.settings import PROJECT
from harness.tasks.lm_eval_results import read_paired, task_names

RECORDED = Path(__file__).with_name("data") / "lm_eval"


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    """A copy of the recorded runs, to be damaged."""
    for name in ("before", "after"):
        shutil.copytree(RECORDED / name, tmp_path / name)
    return tmp_path / "before", tmp_path / "after"


def samples(run: Path, task: str) -> Path:
    (found,) = run.rglob(f"samples_{task}_*.jsonl")
    return found


def rewrite(file: Path, change: Callable[[list[dict[str, Any]]], Any]) -> None:
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    changed = change(rows)
    rows = changed if isinstance(changed, list) else rows
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def test_a_recorded_run_is_read_task_by_task() -> None:
    choice, sums = read_paired(RECORDED / "before", RECORDED / "after")
    assert task_names([choice, sums]) == ("tiny_choice (acc)", "tiny_sums (exact_match)")
    assert len(choice.before) == len(choice.after) == 4
    assert len(sums.before) == len(sums.after) == 8
    assert sums.filter == "none"


def test_values_are_those_that_the_tool_reports() -> None:
    for one in read_paired(RECORDED / "before", RECORDED / "after"):
        for name, values in (("before", one.before), ("after", one.after)):
            (file,) = (RECORDED / name).rglob("results_*.json")
            reported = json.loads(file.read_text(encoding="utf-8"))["results"][one.task]
            assert np.isclose(values.mean(), reported[f"{one.metric},{one.filter}"])


def test_a_model_against_itself_gains_nothing() -> None:
    assert all(not one.gain.any() for one in read_paired(RECORDED / "before", RECORDED / "before"))


def test_the_damaged_model_loses_sums() -> None:
    _, sums = read_paired(RECORDED / "before", RECORDED / "after")
    assert sums.gain.mean() < 0


def test_gain_is_turned_where_less_is_better(runs: tuple[Path, Path]) -> None:
    (file,) = runs[0].rglob("results_*.json")
    results = json.loads(file.read_text(encoding="utf-8"))
    results["higher_is_better"]["tiny_sums"]["exact_match"] = False
    file.write_text(json.dumps(results), encoding="utf-8")
    plain = {one.task: one for one in read_paired(RECORDED / "before", RECORDED / "after")}
    turned = {one.task: one for one in read_paired(*runs)}
    assert np.array_equal(turned["tiny_sums"].gain, -plain["tiny_sums"].gain)


def test_the_order_of_samples_does_not_matter(runs: tuple[Path, Path]) -> None:
    rewrite(samples(runs[1], "tiny_sums"), lambda rows: rows[::-1])
    for one, other in zip(read_paired(*runs), read_paired(RECORDED / "before", RECORDED / "after"), strict=True):
        assert np.array_equal(one.gain, other.gain)


def test_of_several_filters_the_first_is_read(runs: tuple[Path, Path]) -> None:
    for run in runs:
        rewrite(samples(run, "tiny_sums"), lambda rows: rows + [{**row, "filter": "flexible", "exact_match": 1.0} for row in rows])
    assert [one.filter for one in read_paired(*runs)] == ["none", "none"]
    assert len(read_paired(*runs)[1].before) == 8


def test_the_newest_of_several_runs_in_a_folder_is_read(runs: tuple[Path, Path]) -> None:
    for file in list(runs[0].rglob("*_20*.json*")):
        stamp = file.name.split("_")[-1]
        newer = file.with_name(file.name.replace(stamp, "2999" + stamp[4:]))
        shutil.copy(file, newer)
        if "tiny_sums" in newer.name:
            rewrite(newer, lambda rows: [{**row, "exact_match": 1.0} for row in rows])
    assert read_paired(*runs)[1].before.mean() == 1.0


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda b, a: shutil.rmtree(a), r"after: no such folder; allowed: what lm_eval was given as --output_path"),
        (lambda b, a: [f.unlink() for f in a.rglob("results_*")], r"after: no results_<time>.json in it"),
        (lambda b, a: [f.unlink() for f in a.rglob("samples_*")], r"no samples_<task>_<time>.jsonl .*; allowed: a run with --log_samples"),
        (lambda b, a: samples(a, "tiny_sums").unlink(), r"tasks tiny_choice, tiny_sums, but .*after has tiny_choice; allowed: the same"),
        (lambda b, a: shutil.copytree(next(a.iterdir()), a / "other"), r"results of 2 models \(after-model, other\); allowed: the folder"),
        (lambda b, a: samples(a, "tiny_sums").write_text("{oops\n"), r"tiny_sums_.*: line 1 is not JSON; allowed: what lm_eval wrote"),
        (lambda b, a: samples(a, "tiny_sums").write_text("[1]\n"), r"line 1 is no JSON object"),
        (lambda b, a: rewrite(samples(a, "tiny_sums"), lambda r: r[:-1]), r"doc_id 7 stands in only one of it and .*the same samples"),
        (lambda b, a: rewrite(samples(a, "tiny_sums"), lambda r: r[:1]), r"1 samples; allowed: at least 2"),
        (lambda b, a: rewrite(samples(a, "tiny_sums"), lambda r: [*r, r[0]]), r"line 9 repeats doc_id 0; allowed: one line a sample"),
        (lambda b, a: rewrite(samples(a, "tiny_sums"), lambda r: r[3].update(doc_hash="x")), r"doc_id 3 has another question than in"),
        (lambda b, a: rewrite(samples(a, "tiny_sums"), lambda r: r[2].update(prompt_hash="x")), r"doc_id 2 has another prompt .*alone"),
        (lambda b, a: rewrite(samples(a, "tiny_sums"), lambda r: r[1].pop("doc_hash")), r"line 2 has no doc_hash; allowed: samples"),
        (lambda b, a: rewrite(samples(a, "tiny_sums"), lambda r: r[1].update(exact_match=float("nan"))), r"exact_match of doc_id 1 is nan"),
        (
            lambda b, a: rewrite(samples(b, "tiny_sums"), lambda r: [{**row, "exact_match": [1, 2]} for row in r]),
            r"no metric that is a number for each sample \(metrics: exact_match\); allowed: accuracies",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_file(runs: tuple[Path, Path], damage: Callable[[Path, Path], Any], said: str) -> None:
    damage(*runs)
    with pytest.raises(InputError, match=said) as refusal:
        read_paired(*runs)
    assert "\n" not in str(refusal.value)


def test_results_that_do_not_say_what_is_better_are_refused(runs: tuple[Path, Path]) -> None:
    (file,) = runs[0].rglob("results_*.json")
    file.write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="do not say whether more acc is better in tiny_choice"):
        read_paired(*runs)


TOOL = PROJECT / ".venv-lm-eval" / "bin" / "python"


@pytest.mark.slow
@pytest.mark.skipif(not TOOL.is_file(), reason="lm-evaluation-harness is not installed; make test-all installs it")
def test_what_the_installed_tool_writes_is_read(tmp_path: Path) -> None:
    shutil.copytree(RECORDED / "tasks", tmp_path / "tasks")
    command = [str(TOOL), "-m", "lm_eval", "run", "--model", "hf", "--model_args", f"pretrained={TINY_HYBRID},dtype=float32"]
    command += ["--include_path", ".", "--tasks", "tiny_sums,tiny_choice", "--output_path", "out", "--log_samples", "--device", "cpu"]
    subprocess.run(command, cwd=tmp_path / "tasks", env={**os.environ, "HF_HUB_OFFLINE": "1"}, check=True, capture_output=True)
    choice, sums = read_paired(tmp_path / "tasks" / "out", tmp_path / "tasks" / "out")
    assert (len(choice.before), len(sums.before)) == (4, 8)
