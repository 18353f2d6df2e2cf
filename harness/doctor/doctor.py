"""What `doctor` looks at before a run: thresholds, inputs, model, engine, memory, Node and versions. Loads no model and runs nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from harness.data.errors import InputError
from harness.data.settings import PROJECT, Settings
from harness.doctor.finding import Finding
from harness.gate.reports import environment
from harness.gate.reports.html import ReportFailure, node_command
from harness.gate.verdict.thresholds import load_thresholds
from harness.subjects.files import tensor_files


def examine(settings: Settings, validate: Callable[[Settings], None]) -> tuple[Finding, ...]:
    """Everything that was looked at, in the order in which a person would mend it. `validate` raises InputError for a wrong input."""
    return (_thresholds(settings), _inputs(settings, validate), _model(settings), *_engine(settings), _memory(), _node(), _versions())


def _thresholds(settings: Settings) -> Finding:
    try:
        thresholds = load_thresholds(settings.thresholds)
    except InputError as error:
        return Finding("thresholds", str(error), fine=False)
    return Finding("thresholds", f"{settings.thresholds}, {len(thresholds.ids)} checks")


def _inputs(settings: Settings, validate: Callable[[Settings], None]) -> Finding:
    try:
        validate(settings)
    except InputError as error:
        return Finding("inputs", str(error), fine=False)
    candidates = ", ".join(map(str, settings.candidates)) or "none, the suite trains its own"
    return Finding("inputs", f"behaviors {', '.join(settings.behaviors)}; candidate {candidates}")


def _engine(settings: Settings) -> tuple[Finding, ...]:
    if settings.engine != "vllm":
        return ()
    from harness.doctor.vllm import examine_vllm

    return examine_vllm(settings, _folder(settings))


def _folder(settings: Settings) -> Path | None:
    places = (PROJECT / "fixtures" / "models" / settings.model, Path(settings.model).expanduser())
    return next((place for place in places if place.is_dir()), None)


def _model(settings: Settings) -> Finding:
    folder = _folder(settings)
    if folder is None:
        return Finding("model", f"{settings.model}: not in this repository, will be looked up when the run starts")
    try:
        size = sum(file.stat().st_size for file in tensor_files(folder))
    except InputError as error:
        return Finding("model", str(error), fine=False)
    return Finding("model", f"{settings.model}: {folder}, {size / 2**20:.0f} MiB of weights", fine=size > 0)


def _memory() -> Finding:
    page = os.sysconf("SC_PAGE_SIZE")
    free, total = (os.sysconf(name) * page / 2**30 for name in ("SC_AVPHYS_PAGES", "SC_PHYS_PAGES"))
    return Finding("memory", f"{free:.1f} GiB free of {total:.1f} GiB, {os.cpu_count()} cores")


def _node() -> Finding:
    try:
        node, _ = node_command()
    except ReportFailure as error:
        return Finding("node", f"{error}; everything but the HTML report works without")
    return Finding("node", " ".join(node[:1]))


def _versions() -> Finding:
    return Finding("versions", ", ".join(f"{name} {version}" for name, version in environment.versions().items()))
