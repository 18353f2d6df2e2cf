"""harness/engines/made_with.py: it changes with processor, library and code, and with nothing else."""

from __future__ import annotations

import shutil
from importlib import metadata
from pathlib import Path

import pytest
import torch

from harness.engines import made_with as module
from harness.engines.made_with import device_of, made_with, processor


def test_it_is_the_same_twice() -> None:
    assert made_with() == made_with()
    assert processor().items() <= made_with().items()


def test_instructions_that_are_forbidden_make_another_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    before = processor()
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "avx2")
    assert processor() == before | {"ATEN_CPU_CAPABILITY": "avx2"}


@pytest.mark.parametrize("library", ["torch", "transformers", "peft", "tokenizers"])
def test_another_version_of_a_library_shows(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before, real = made_with(), metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "99.9" if name == library else real(name))
    assert made_with() == before | {library: "99.9"}


def test_a_change_of_the_engines_code_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in module.CODE:
        shutil.copytree(module.HARNESS / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    before = made_with()
    monkeypatch.setattr(module, "HARNESS", tmp_path)
    assert made_with() == before
    with (tmp_path / "engines" / "hf" / "scoring.py").open("a") as file:
        file.write("# changed\n")
    assert made_with()["code"] != before["code"]


def test_the_device_is_the_one_that_torch_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    found = "cuda" if torch.cuda.is_available() else "cpu"
    assert device_of("auto") == found
    monkeypatch.setattr(module, "is_cpu_build", lambda: False)
    assert device_of("auto") == found
    assert device_of("cuda") == "cuda" and device_of("cpu") == "cpu"
