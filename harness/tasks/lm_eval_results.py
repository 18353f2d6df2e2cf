"""Results of lm-evaluation-harness from before and after a training, paired by sample: further domains of general ability.

A results folder is what `lm_eval … --output_path FOLDER --log_samples` writes: a folder named after the model, with `results_<time>.json`
and one `samples_<task>_<time>.jsonl` for each task. Both runs must have asked the same questions with the same prompts. For each task one
metric is read, under the first filter: the first metric that is a plain number for each sample. Where answers were sampled, luck cannot be
told from ability.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from harness.data.arrays import Floats
from harness.data.errors import InputError

_SAMPLES = re.compile(r"samples_(?P<task>.+)_(?P<time>\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d+)\.jsonl")
_RESULTS = re.compile(r"results_(?P<time>\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d+)\.json")
_NEEDED = ("doc_id", "doc_hash", "prompt_hash", "filter", "metrics")


@dataclass(frozen=True)
class PairedTask:
    """One task's samples before and after the training; entry i of both is the same question."""

    task: str
    """Its name in lm-evaluation-harness."""
    metric: str
    filter: str
    """The filter that was applied to the answers before they were scored."""
    before: Floats
    """[samples], in the metric's unit."""
    after: Floats
    """[samples], in the metric's unit."""
    higher_is_better: bool
    """Whether a larger metric is better, as the results file says."""

    @property
    def gain(self) -> Floats:
        """after − before [samples], with the sign turned where less is better: positive means improved."""
        change = self.after - self.before
        return np.asarray(change if self.higher_is_better else -change)


@dataclass(frozen=True)
class _Run:
    """The newest run in a folder."""

    folder: Path
    results: Mapping[str, Any]
    samples: Mapping[str, Path]


def read_paired(before: Path, after: Path) -> tuple[PairedTask, ...]:
    """Every task of two results folders, sorted by name. InputError for the first thing that does not fit."""
    first, second = _newest_run(before), _newest_run(after)
    if first.samples.keys() != second.samples.keys():
        names = [", ".join(run.samples) for run in (first, second)]
        _refuse(first.folder, f"tasks {names[0]}, but {second.folder} has {names[1]}", "the same tasks before and after")
    return tuple(_paired(task, first, second) for task in sorted(first.samples))


def _newest_run(folder: Path) -> _Run:
    if not folder.is_dir():
        _refuse(folder, "no such folder", "what lm_eval was given as --output_path")
    found = sorted(path for path in folder.rglob("results_*.json") if _RESULTS.fullmatch(path.name))
    if not found:
        _refuse(folder, "no results_<time>.json in it", "what lm_eval was given as --output_path")
    models = sorted({path.parent for path in found})
    if len(models) > 1:
        _refuse(folder, f"results of {len(models)} models ({', '.join(one.name for one in models)})", "the folder of one of them")
    match = _RESULTS.fullmatch(found[-1].name)
    assert match is not None
    named = {path: _SAMPLES.fullmatch(path.name) for path in sorted(models[0].glob("samples_*.jsonl"))}
    samples = {m["task"]: path for path, m in named.items() if m is not None and m["time"] == match["time"]}
    if not samples:
        _refuse(found[-1], "no samples_<task>_<time>.jsonl of the same time beside it", "a run with --log_samples")
    return _Run(folder, _json(found[-1], found[-1].read_text(encoding="utf-8"), None), samples)


def _paired(task: str, first: _Run, second: _Run) -> PairedTask:
    before, after = (_rows(run.samples[task]) for run in (first, second))
    filters = [row["filter"] for row in before.values()]
    metric = _metric(first.samples[task], next(iter(before.values())))
    file, other = first.samples[task], second.samples[task]
    if before.keys() != after.keys():
        odd = sorted(before.keys() ^ after.keys())[0]
        _refuse(other, f"doc_id {odd} stands in only one of it and {file}", "the same samples before and after")
    for id, row in before.items():
        for key, what in (("doc_hash", "question"), ("prompt_hash", "prompt"), ("filter", "filter")):
            if row[key] != after[id][key]:
                _refuse(other, f"doc_id {id} has another {what} than in {file}", "two runs that differ in the model alone")
    better = first.results.get("higher_is_better", {}).get(task, {}).get(metric)
    if not isinstance(better, bool):
        _refuse(first.folder, f"its results do not say whether more {metric} is better in {task}", "true or false in higher_is_better")
    values = [[_number(path, id, row, metric) for id, row in rows.items()] for path, rows in ((file, before), (other, after))]
    return PairedTask(task, metric, filters[0], np.array(values[0]), np.array(values[1]), better)


def _rows(file: Path) -> dict[int, Mapping[str, Any]]:
    """The rows under the first filter by doc_id, in order of doc_id."""
    rows: dict[int, Mapping[str, Any]] = {}
    first_filter: str | None = None
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        row = _json(file, line, number)
        missing = [key for key in _NEEDED if key not in row]
        if missing:
            _refuse(file, f"line {number} has no {missing[0]}", f"samples of lm_eval 0.4.4 or later, with {', '.join(_NEEDED)}")
        first_filter = first_filter or row["filter"]
        if row["filter"] != first_filter:
            continue
        if row["doc_id"] in rows:
            _refuse(file, f"line {number} repeats doc_id {row['doc_id']}", "one line a sample and filter")
        rows[row["doc_id"]] = row
    if len(rows) < 2:
        _refuse(file, f"{len(rows)} samples", "at least 2")
    return dict(sorted(rows.items()))


def _metric(file: Path, row: Mapping[str, Any]) -> str:
    """The first metric whose value for a sample is a plain number (a perplexity's is a sum with a count)."""
    plain = [name for name in row["metrics"] if isinstance(row.get(name), (int, float))]
    if not plain:
        _refuse(file, f"no metric that is a number for each sample (metrics: {', '.join(row['metrics'])})", "accuracies and the like")
    return str(plain[0])


def _number(file: Path, id: int, row: Mapping[str, Any], metric: str) -> float:
    value = row.get(metric)
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        _refuse(file, f"{metric} of doc_id {id} is {value!r}", "a finite number")
    return float(value)


def _json(file: Path, text: str, line: int | None) -> Mapping[str, Any]:
    where = "" if line is None else f"line {line} is "
    try:
        value = json.loads(text)
    except ValueError:
        _refuse(file, f"{where}not JSON", "what lm_eval wrote")
    if not isinstance(value, dict):
        _refuse(file, f"{where}no JSON object", "what lm_eval wrote")
    return value


def _refuse(where: Path, found: str, allowed: str) -> NoReturn:
    raise InputError(" ".join(f"{where}: {found}; allowed: {allowed}".split()))


def task_names(tasks: Sequence[PairedTask]) -> tuple[str, ...]:
    """Names of the tasks as domains: "hellaswag (acc)"."""
    return tuple(f"{one.task} ({one.metric})" for one in tasks)
