"""harness/process/torchvision_cpu.py: the registry's torchvision beside a CPU torch, here and in children; nothing elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from harness.process import torchvision_cpu
from harness.process.torchvision_cpu import STARTUP, child_environment, install, unfit

HERE = {"torch": "2.13.0+cpu", "torchvision": "0.28.0", "torchaudio": "2.11.0", "torchcodec": "0.17.0"}


def versions(monkeypatch: pytest.MonkeyPatch, found: dict[str, str]) -> None:
    monkeypatch.setattr(torchvision_cpu, "_version", found.get)


@pytest.mark.parametrize(
    ("found", "names"),
    [
        (HERE, ("torchvision", "torchaudio", "torchcodec")),
        (HERE | {"torch": "2.13.0+cu130"}, ()),
        (HERE | {"torch": "2.13.0"}, ()),
        ({"torch": "2.13.0+cpu"}, ()),
        ({"torch": "2.13.0+cpu", "torchvision": "0.28.0+cpu", "torchaudio": "2.11.0"}, ("torchaudio",)),
        ({}, ()),
    ],
)
def test_what_is_unfit(monkeypatch: pytest.MonkeyPatch, found: dict[str, str], names: tuple[str, ...]) -> None:
    versions(monkeypatch, found)
    assert unfit() == names


def test_where_nothing_is_unfit_nothing_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    versions(monkeypatch, HERE | {"torch": "2.13.0+cu130"})
    finders, modules = list(sys.meta_path), dict(sys.modules)
    install()
    assert sys.meta_path == finders and sys.modules == modules


def test_children_run_it_before_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    versions(monkeypatch, HERE)
    paths = child_environment({"PYTHONPATH": "/mine", "OTHER": "kept"})["PYTHONPATH"].split(os.pathsep)
    assert paths == [str(STARTUP), str(STARTUP.parents[2]), "/mine"]
    assert child_environment(child_environment({"PYTHONPATH": "/mine"})) == child_environment({"PYTHONPATH": "/mine"})


def run(code: str, environment: dict[str, str], folder: Path) -> str:
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    return done.stdout + done.stderr


def test_a_sitecustomize_of_the_machine_still_runs(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('the machine says hello')")
    paths = os.pathsep.join([str(STARTUP), str(STARTUP.parents[2]), str(tmp_path)])
    said = run("import sys; print(sys.modules['sitecustomize'].__file__)", {**os.environ, "PYTHONPATH": paths}, tmp_path)
    assert said.splitlines() == ["the machine says hello", str(tmp_path / "sitecustomize.py")]


BROKEN = pytest.mark.skipif(
    "torchvision" not in unfit(), reason="torchvision is absent, or fits this torch: there is nothing to mend on this machine"
)
LOAD = "from transformers import Qwen3_5ForCausalLM; import torchvision; print(torchvision.__version__)"


@BROKEN
def test_without_it_transformers_breaks_and_with_it_it_loads(tmp_path: Path) -> None:
    bare = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    assert "nms does not exist" in run("import torchvision", bare, tmp_path)
    version = metadata.version("torchvision")
    assert run("import harness; " + LOAD, {**bare, "PYTHONPATH": str(STARTUP.parents[2])}, tmp_path).strip().startswith(version)
    assert run(LOAD, child_environment(bare), tmp_path).strip().startswith(version)


@BROKEN
def test_children_of_children_too(tmp_path: Path) -> None:
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {LOAD!r}], check=True)"
    assert run(nested, child_environment(dict(os.environ)), tmp_path).strip().startswith(metadata.version("torchvision"))
