"""Every command of the README and docs/ is run in a copy of this project, or at least understood: docs/README.md says which and how."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
import yaml
from safetensors import safe_open
from safetensors.numpy import save_file

from harness.__main__ import app
from harness.data.measurement import Estimate, Measurement
from harness.data.settings import PROJECT, Settings
from harness.gate.history import records
from harness.gate.reports import gate_json
from harness.gate.verdict.entry import Entry
from harness.gate.verdict.run import Run
from harness.gate.verdict.thresholds import load_thresholds
from harness.gate.verdict.verdicts import verdict_on
from tests.pages import BLOCKS, MADE_BY_RUNS, SHELLS, Block

THRESHOLDS = load_thresholds(PROJECT / "thresholds.toml")


@dataclass(frozen=True)
class Copy:
    """A copy of this project in which commands may write."""

    folder: Path

    def run(self, command: str | list[str], **more: str) -> subprocess.CompletedProcess[str]:
        """In bash, with the Python of this run first on the path and the copy's code in it."""
        left_out = ("PYTEST_ADDOPTS", "PYTEST_CURRENT_TEST", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT")
        environment = {name: value for name, value in os.environ.items() if name not in left_out}
        environment |= {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(self.folder), **more}
        arguments = ["bash", "-c", command] if isinstance(command, str) else command
        return subprocess.run(arguments, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """With what the pages speak of: path/to/model, path/to/adapter, path/to/checkpoint, path/to/behavior, and two recorded cycles."""
    folder = tmp_path_factory.mktemp("docs") / "project"
    left_out = (".*", "__pycache__", "*.egg-info", "node_modules", "*.sqlite", *MADE_BY_RUNS)
    shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns(*left_out))
    if (modules := PROJECT / "reports" / "node_modules").is_dir():
        (folder / "reports" / "node_modules").symlink_to(modules)
    given, model = folder / "path" / "to", folder / "fixtures" / "models" / "tiny-hybrid"
    given.mkdir(parents=True)
    (given / "model").symlink_to(model)
    shutil.copytree(folder / "fixtures" / "behaviors" / "not-rushing", given / "behavior")
    write_adapter(given / "adapter", model)
    write_checkpoint(given / "checkpoint", model)
    record_cycles(folder)
    return Copy(folder)


def write_checkpoint(folder: Path, model: Path) -> None:
    """The model with its last norm a little larger."""
    from safetensors.torch import load_file, save_file  # here: torch is slow to import, and numpy knows no bfloat16

    shutil.copytree(model, folder)
    (weights,) = folder.glob("*.safetensors")
    tensors = load_file(weights)
    tensors["model.norm.weight"] = tensors["model.norm.weight"] * 1.05
    save_file(tensors, weights, {"format": "pt"})


def write_adapter(folder: Path, model: Path) -> None:
    """A small random LoRA of the query projections of every attention layer."""
    rng, tensors = np.random.default_rng(0), {}
    (weights,) = model.glob("*.safetensors")
    with safe_open(weights, framework="np") as file:
        for name in file.keys():  # noqa: SIM118 (not a dict)
            if name.endswith("q_proj.weight"):
                out, width = file.get_slice(name).get_shape()
                module = f"base_model.model.{name.removesuffix('.weight')}"
                tensors[f"{module}.lora_A.weight"] = rng.normal(0, 0.1, (2, width)).astype(np.float32)
                tensors[f"{module}.lora_B.weight"] = rng.normal(0, 0.1, (out, 2)).astype(np.float32)
    folder.mkdir(parents=True)
    save_file(tensors, folder / "adapter_model.safetensors", {"format": "pt"})
    settings = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(settings), encoding="utf-8")


def record_cycles(folder: Path) -> None:
    """A cycle with every gate green, monday, and one with a red gate, tuesday, whose gate.json is the last."""
    for cycle, value in (("monday", 0.9), ("tuesday", -0.8)):
        entries = tuple(_gate(id, value if id == "q4.regression" else None) for id in THRESHOLDS.gates)
        settings = Settings(cycle=cycle, reports=folder / "reports", store=folder / ".store")
        environment = {"versions": {}, "device": "cpu", "git": None}
        selected = tuple(entry.key for entry in entries)
        run = Run(settings, cycle, "2026-01-01T00:00:00+00:00", entries, selected, True, environment=environment)
        records.append(run)
        gate_json.write(run)


def _gate(id: str, value: float | None) -> Entry:
    """The entry of a gate whose estimate is `value`; None: it does not apply."""
    threshold = THRESHOLDS.for_check(id)
    estimate = None if value is None else Estimate(value, value - 0.1, value + 0.1, value - 0.2, value + 0.2, 0.001, 224, 32)
    measurement = Measurement(id, "listening", "", estimate, reason="made up", not_applicable=value is None)
    return Entry(id, "listening", "gate", verdict_on(measurement, threshold), measurement, threshold)


def is_pytest(command: str) -> bool:
    return command.startswith("pytest ")


def finished(copy: Copy, command: str) -> None:
    """Run a command to its end. The evals may be green or red."""
    done = copy.run(command)
    said = f"{command}\nexit code {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    if is_pytest(command) and not re.search(r" --(co|help)\b", command):
        assert done.returncode in (0, 1) and "verdict over the gates: " in done.stdout, said
    else:
        assert done.returncode == 0, said


@pytest.mark.parametrize("block", [block for block in SHELLS if block.mode == "run"], ids=str)
def test_commands_run(block: Block, copy: Copy) -> None:
    for command in able_to_run(block):
        finished(copy, command)


@pytest.mark.slow
@pytest.mark.parametrize("block", [block for block in SHELLS if block.mode == "slow"], ids=str)
def test_slow_commands_run(block: Block, copy: Copy) -> None:
    for command in able_to_run(block):
        finished(copy, command)


def able_to_run(block: Block) -> list[str]:
    """The commands; skips where a module or a program that they need is not installed."""
    if block.needs is not None and importlib.util.find_spec(block.needs) is None:
        pytest.skip(f"{block.needs} is not installed")
    for command in block.commands:
        if shutil.which(program := command.split()[0]) is None and program not in ("python", "pytest"):
            pytest.skip(f"{program} is not installed")
    return block.commands


def made(command: str) -> str:
    return command.split(" #")[0].replace("make ", "make -n ", 1)


@pytest.mark.parametrize("block", [block for block in SHELLS if block.mode == "dry-run"], ids=str)
def test_targets_are_known_to_make(block: Block, copy: Copy) -> None:
    for command in block.commands:
        assert command.startswith("make ") and copy.run(made(command)).returncode == 0, command


def workflow_commands(block: Block) -> list[str]:
    """What the steps of a workflow run, as the other blocks write it."""
    (job,) = yaml.safe_load(block.text)["jobs"].values()
    lines = [line for step in job["steps"] for line in step.get("run", "").splitlines()]
    return [line.replace(".venv/bin/python -m pytest", "pytest").replace("${{ github.run_id }}", "1") for line in lines]


def not_run() -> dict[str, list[str]]:
    """Commands that `make test` does not run, by block."""
    found = {str(block): block.commands for block in SHELLS if block.mode in ("slow", "skip")}
    return found | {str(block): workflow_commands(block) for block in BLOCKS if block.language == "yaml"}


COLLECT = """
import contextlib, io, json, sys
import pytest
found = {}
for arguments in json.load(sys.stdin):
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = pytest.main([*arguments, "--co", "-q", "-p", "no:cacheprovider"])
    found[json.dumps(arguments)] = [int(code), out.getvalue()[-2000:]]
print("FOUND" + json.dumps(found))
"""


@pytest.fixture(scope="module")
def collected(copy: Copy) -> dict[str, tuple[int, str]]:
    """Exit code and output of `pytest … --co` for every such command that is not run, all of them in one process."""
    asked = [pytest_arguments(command) for lines in not_run().values() for command in lines if is_pytest(command)]
    done = subprocess.run(
        [sys.executable, "-c", COLLECT],
        input=json.dumps(asked),
        cwd=copy.folder,
        env={**os.environ, "PYTHONPATH": str(copy.folder), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "FOUND" in done.stdout, done.stdout[-2000:] + done.stderr[-2000:]
    return {key: (code, said) for key, (code, said) in json.loads(done.stdout.split("FOUND", 1)[1]).items()}


def pytest_arguments(command: str) -> list[str]:
    """Without comments, and without workers: xdist collects in other processes."""
    words = shlex.split(command, comments=True)[1:]
    return [word for i, word in enumerate(words) if word not in ("-n", "--dist") and words[max(0, i - 1)] not in ("-n", "--dist")]


@pytest.mark.parametrize("block", not_run())
def test_what_is_not_run_is_understood(block: str, collected: dict[str, tuple[int, str]], copy: Copy) -> None:
    for command in not_run()[block]:
        if is_pytest(command):
            code, said = collected[json.dumps(pytest_arguments(command))]
            assert code == 0, f"{command}\n{said}"
        elif command.startswith("make "):
            assert copy.run(made(command)).returncode == 0, command
        elif command.startswith("python -m "):
            check_module(shlex.split(command, comments=True)[2:])


def check_module(words: list[str]) -> None:
    """A module of this project that can be started, and for `harness` a command that knows these options."""
    module, arguments = PROJECT / words[0].replace(".", "/"), words[1:]
    assert module.with_suffix(".py").is_file() or (module / "__main__.py").is_file(), words
    if words[0] != "harness":
        return
    command: Any = typer.main.get_command(app).commands[arguments[0]]  # type: ignore[attr-defined]  # a group
    known = {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}
    if not command.context_settings.get("ignore_unknown_options"):
        assert [word for word in arguments if word.startswith("--") and word not in known] == [], words
