"""The pytest options of the evals, and the one place that turns them into Settings.

The default of every option is None: the real defaults live in Settings. A value that is not allowed is a UsageError of one line.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import pytest

from harness.behaviors.shipped import expand_behaviors
from harness.data.errors import InputError
from harness.data.settings import EngineName, Settings

MOST = 2**63 - 1
"""The largest number that the history can hold."""
PREFIX = "evals_"
"""An option is kept in pytest's configuration under this prefix and the name of its field in Settings."""


def add_options(parser: pytest.Parser) -> None:
    """Register every option, and the ini setting `evals`."""
    parser.addini("evals", "folders that hold behavioral evals", type="args", default=["evals"])
    group = parser.getgroup("behavioral evals")

    def option(flag: str, field: str, help: str, metavar: str | tuple[str, ...] | None = None, **more: Any) -> None:
        extra = more if "action" in more and more["action"] in ("store_const", "store_false") else {"metavar": metavar, **more}
        group.addoption(flag, dest=PREFIX + field, default=None, help=help, **extra)

    option("--model", "model", "base subject: a shipped name, a folder or a hub id (default tiny-hybrid)", "NAME|PATH")
    option("--candidate", "candidates", "what this cycle produced: adapter folder or checkpoint", "PATH", action="append")
    option("--behavior", "behaviors", 'shipped name or folder; repeatable; "all" for every shipped one', "NAME|PATH", action="append")
    option("--engine", "engine", f"{' or '.join(get_args(EngineName))} (default {Settings.engine})", "|".join(get_args(EngineName)))
    option("--server", "server", "a running vLLM", "URL")
    option("--tensor-parallel", "tensor_parallel", "GPUs that share each layer (vllm)", "N")
    option("--pipeline-parallel", "pipeline_parallel", "GPUs that share the layers (vllm)", "N")
    option("--vllm", "vllm", "further argument of vLLM, as in its documentation; repeatable", "NAME=VALUE", action="append")
    option("--lm-eval", "lm_eval", "lm-evaluation-harness results, as further domains of q6", ("BEFORE", "AFTER"), nargs=2)
    option("--memory", "memory", "memory graph of q4: folder of JSON lines or SQLite store (default: the shipped one)", "PATH")
    option("--surface-observe", "surface_observe", "program that answers JSON lines, in place of the embedded agent", "COMMAND")
    option("--training-signal", "training_signal", "program that answers JSON lines, in place of the embedded agent", "COMMAND")
    option("--judge", "judge", "OpenAI-compatible endpoint that labels replies, in place of the embedded judge", "URL")
    option("--dreams", "dreams", "scenarios of q2: JSON lines with text and, where known, label and seeds", "PATH")
    option("--dream-loop", "dream_loop", "program that answers JSON lines with scenarios, in place of the embedded dream loop", "COMMAND")
    option("--cycle", "cycle", "name of this training cycle (default: the time)", "ID")
    option("--baseline", "baseline", "cycle to compare with (default: the last accepted)", "CYCLE")
    option("--profile", "profile", "quick or full (default quick)", "quick|full")
    option("--seed", "seed", "seed of everything random (default 0)", "N")
    option("--device", "device", "cpu, cuda or auto (default auto)", "cpu|cuda|auto")
    option("--store", "store", "folder of expensive results (default .store)", "PATH")
    option("--verify", "verify", "hash all weights anew, unchanged files as well", action="store_const", const=True)
    option("--history", "history", "history.sqlite, never cleared (default beside the store)", "PATH")
    option("--inconclusive", "inconclusive", "whether checks that are inconclusive make the run red; gates do (default fail)", "fail|allow")
    option("--trust-remote-code", "trust_remote_code", "model whose own code may run; repeatable", "MODEL", action="append")
    option("--thresholds", "thresholds", "thresholds.toml (default: the repository's)", "PATH")
    option("--waivers", "waivers", "waivers.toml (default: the repository's, where there is one)", "PATH")
    option("--calibration", "calibration", "calibration.json (default: the repository's)", "PATH")
    option("--reports", "reports", "folder for gate.json and the report (default reports)", "PATH")
    option("--no-report", "report", "skip the Allure HTML report", action="store_const", const=False)
    option("--no-fast", "fast", "engines without the suite's own shortcuts", action="store_const", const=False)


def settings_from(config: pytest.Config) -> Settings:
    """The settings of this run; raises UsageError with one line for a value that is not allowed. Paths come out absolute."""
    given = {field.name: config.getoption(PREFIX + field.name) for field in fields(Settings)}
    given = {name: value for name, value in given.items() if value is not None}
    for name, allowed in {
        "engine": get_args(EngineName),
        "profile": ("quick", "full"),
        "device": ("cpu", "cuda", "auto"),
        "inconclusive": ("fail", "allow"),
    }.items():
        if name in given and given[name] not in allowed:
            _refuse(name, given[name], " or ".join(allowed))
    for name, least in {"seed": 0, "tensor_parallel": 1, "pipeline_parallel": 1}.items():
        if name in given:
            given[name] = _integer(name, str(given[name]), least)
    if not str(given.get("cycle", "-")).isprintable() or not str(given.get("cycle", "-")).strip():
        _refuse("cycle", repr(given["cycle"]), "a name of printable characters")
    for name in ("store", "history", "thresholds", "waivers", "calibration", "reports", "memory", "dreams"):
        if name in given:
            given[name] = _absolute(config, given[name])
    if "candidates" in given:
        given["candidates"] = tuple(_absolute(config, text) for text in given["candidates"])
    if "lm_eval" in given:
        given["lm_eval"] = tuple(_absolute(config, text) for text in given["lm_eval"])
    if "trust_remote_code" in given:
        given["trust_remote_code"] = tuple(given["trust_remote_code"])
    _refuse_what_contradicts(given)
    try:
        given["vllm"] = engine_arguments(given.get("vllm", ()))
        given["behaviors"] = expand_behaviors(given.get("behaviors", Settings.behaviors))
    except InputError as error:
        raise pytest.UsageError(str(error)) from None
    return Settings(**given)


def settings_of_reports(config: pytest.Config) -> Settings:
    """The defaults with the reports folder and the cycle that were asked for: to say where a run stands whose other options are wrong."""
    reports, cycle = config.getoption(PREFIX + "reports"), config.getoption(PREFIX + "cycle")
    return Settings(cycle=cycle, reports=Settings.reports if reports is None else _absolute(config, reports))


def in_eval_folder(config: pytest.Config, path: Path, *, or_above: bool = False) -> bool:
    """Whether a path lies in a folder of evals (`evals` in pytest's ini); with `or_above`, or holds one."""
    folders = [(config.rootpath / folder).resolve() for folder in config.getini("evals")]
    present = [folder for folder in folders if folder.is_dir()]
    return any(path.is_relative_to(folder) or (or_above and folder.is_relative_to(path)) for folder in present)


def behavior_name(name_or_path: str) -> str:
    """The name under which a behavior stands in reports: the one in its behavior.toml where a folder was given."""
    file = Path(name_or_path).expanduser() / "behavior.toml"
    if not file.is_file():
        return Path(name_or_path).name
    try:
        return str(tomllib.loads(file.read_text(encoding="utf-8"))["name"])
    except (tomllib.TOMLDecodeError, KeyError, OSError):
        return Path(name_or_path).name


def subject_name(settings: Settings) -> str:
    """The name by which thresholds.toml overrides are looked up: the shipped name, or the last part of a path or hub id."""
    return Path(settings.model).name


def _refuse_what_contradicts(given: dict[str, Any]) -> None:
    if "baseline" in given and "candidates" not in given:
        raise pytest.UsageError(f"--baseline {given['baseline']}: given without --candidate; allowed: both, or neither")
    if "dreams" in given and "dream_loop" in given:
        raise pytest.UsageError("--dreams and --dream-loop: both given; allowed: one of them, or neither")
    if not str(given.get("judge", "http://")).startswith(("http://", "https://")):
        _refuse("judge", given["judge"], "the http address of an OpenAI-compatible endpoint, such as http://localhost:8000/v1")


def engine_named(name: str) -> EngineName:
    """The name, known to be an engine's; InputError for any other."""
    if name not in get_args(EngineName):
        raise InputError(f"--engine {name}: not allowed; allowed: {' or '.join(get_args(EngineName))}")
    return name  # type: ignore[return-value]  # one of the two


def engine_arguments(texts: Sequence[str]) -> tuple[tuple[str, Any], ...]:
    """NAME=VALUE as pairs; a value is JSON where it reads as such, text otherwise."""
    pairs = []
    for text in texts:
        name, found, value = text.partition("=")
        if not found or not name.isidentifier():
            raise InputError(f"--vllm {text}: not allowed; allowed: NAME=VALUE, such as gpu_memory_utilization=0.6")
        try:
            pairs.append((name, json.loads(value)))
        except ValueError:
            pairs.append((name, value))
    return tuple(pairs)


def _integer(name: str, text: str, least: int) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if not least <= number <= MOST:
        _refuse(name, text, f"a whole number, {least} or more" if number < least else f"a whole number, {MOST} or less")
    return number


def _absolute(config: pytest.Config, text: str) -> Path:
    return (config.invocation_params.dir / Path(text).expanduser()).resolve()


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _refuse(name: str, found: object, allowed: str) -> None:
    raise pytest.UsageError(f"{_flag(name)} {found}: not allowed; allowed: {allowed}")
