"""fixtures/inputs.py: what a person can get wrong costs one line and no model, not even the import of torch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fixtures.inputs import validate
from harness.behaviors.skeleton import write_skeleton
from harness.data.errors import InputError
from harness.data.settings import PROJECT, Settings
from harness.data.subject import Subject
from harness.engines.vllm import start as vllm_start

if TYPE_CHECKING:
    from tests.conftest import MakeAdapter


@pytest.fixture
def settings(tiny_hybrid: Subject) -> Settings:
    return Settings(model=str(tiny_hybrid.base))


def refusal(settings: Settings) -> str:
    with pytest.raises(InputError) as caught:
        validate(settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_good_inputs_pass(settings: Settings, tiny_hybrid: Subject, make_adapter: MakeAdapter, tmp_path: Path) -> None:
    adapter = make_adapter(tiny_hybrid, tmp_path / "a").adapter
    assert adapter is not None
    validate(settings)
    validate(replace(settings, candidates=(adapter,)))
    validate(replace(settings, candidates=(tiny_hybrid.base,)))
    validate(replace(settings, behaviors=("all",)))


def test_unknown_behavior(settings: Settings) -> None:
    assert refusal(replace(settings, behaviors=("listning",))).startswith("--behavior listning: no such behavior; allowed: ")


def test_broken_behavior_says_file_and_line(settings: Settings, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(PROJECT / "fixtures" / "behaviors" / "listening", tmp_path / "mine"))
    with (folder / "pairs.jsonl").open("a") as file:
        file.write('{"id": "only this"}\n')
    lines = len((folder / "pairs.jsonl").read_text().splitlines())
    assert refusal(replace(settings, behaviors=(str(folder),))).startswith(f"{folder / 'pairs.jsonl'}, line {lines}: ")


def test_behavior_with_too_few_pairs_to_measure(settings: Settings, tmp_path: Path) -> None:
    write_skeleton(tmp_path / "mine", "mine")
    assert refusal(replace(settings, behaviors=(str(tmp_path / "mine"),))).endswith("2 train pairs; an eval needs at least 5")


def test_unknown_model(settings: Settings) -> None:
    assert refusal(replace(settings, model="tiny-hybird")).startswith(
        "--model tiny-hybird: no such name or folder; allowed are tiny-hybrid"
    )


def test_model_folder_without_weights(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert "no model.safetensors and no model.safetensors.index.json" in refusal(replace(settings, model=str(tmp_path)))


def test_candidate_that_is_nowhere(settings: Settings, tmp_path: Path) -> None:
    assert refusal(replace(settings, candidates=(tmp_path / "x",))).startswith(f"{tmp_path / 'x'}: no such folder; --candidate takes")


def test_candidate_that_does_not_fit_the_base(settings: Settings, tiny_llama: Subject, make_adapter: MakeAdapter, tmp_path: Path) -> None:
    adapter = make_adapter(tiny_llama, tmp_path / "a", ["gate_proj"]).adapter
    assert adapter is not None
    validate(replace(settings, model=str(tiny_llama.base), candidates=(adapter,)))
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(config | {"fan_in_fan_out": True}))
    assert "has input width 48, the base llama has 64 there" in refusal(
        replace(settings, model=str(tiny_llama.base), candidates=(adapter,))
    )


def test_two_candidates(settings: Settings, tiny_hybrid: Subject) -> None:
    assert "--candidate was given twice" in refusal(replace(settings, candidates=(tiny_hybrid.base,) * 2))


LIGHT = """
import sys
from pathlib import Path
from fixtures.inputs import validate
from harness.behaviors.skeleton import write_skeleton
from harness.data.errors import InputError
from harness.data.settings import Settings

base, nowhere = sys.argv[1:]
wrong = (
    Settings(model=base, behaviors=("listning",)),
    Settings(model="tiny-hybird"),
    Settings(model=nowhere),
    Settings(model=base, candidates=(Path(nowhere),)),
    Settings(model=base, candidates=(Path(base).parent,)),
)
for settings in wrong:
    try:
        validate(settings)
    except InputError as error:
        print(error)
validate(Settings(model=base))
print([name for name in ("torch", "transformers", "peft", "sklearn") if name in sys.modules])
"""


@pytest.mark.parametrize("changed", ["base", "candidate"])
def test_verify_finds_weights_that_changed_unseen(
    changed: str, settings: Settings, tiny_hybrid: Subject, make_adapter: MakeAdapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A byte changed under the same name, size and times, as where a disk fails."""
    base, adapter = Path(shutil.copytree(tiny_hybrid.base, tmp_path / "base")), make_adapter(tiny_hybrid, tmp_path / "a").adapter
    assert adapter is not None
    file = {"base": base / "model.safetensors", "candidate": adapter / "adapter_model.safetensors"}[changed]
    now = time.time_ns()
    monkeypatch.setattr("harness.store.time.time_ns", lambda: now + 10**13)
    monkeypatch.setattr("harness.store.SMALL", 2000)
    monkeypatch.setattr("harness.subjects.finite.SMALL", 2000)
    settings = replace(settings, model=str(base), candidates=(adapter,), store=tmp_path / "store")
    careful = replace(settings, verify=True)
    validate(careful)
    validate(careful)
    before, real = file.stat(), Path.stat
    with file.open("r+b") as handle:
        handle.seek(-1, 2)
        last = handle.read(1)
        handle.seek(-1, 2)
        handle.write(bytes([last[0] ^ 1]))
    monkeypatch.setattr(Path, "stat", lambda self, **rest: before if self == file else real(self, **rest))
    validate(settings)
    assert refusal(careful).startswith(f"{file}: its bytes changed while its size and times stayed the same")
    validate(careful)


def test_nothing_heavy_is_imported_to_refuse(tiny_hybrid: Subject, tmp_path: Path) -> None:
    command = [sys.executable, "-c", LIGHT, str(tiny_hybrid.base), str(tmp_path / "nowhere")]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 6
    assert lines[-1] == "[]"


def test_results_of_another_tool_are_read_before_anything_loads(settings: Settings, tmp_path: Path) -> None:
    recorded = PROJECT / "tests" / "data" / "lm_eval"
    validate(replace(settings, lm_eval=(recorded / "before", recorded / "after")))
    assert str(tmp_path) in refusal(replace(settings, lm_eval=(recorded / "before", tmp_path)))


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"server": "http://localhost:1"}, "--server http://localhost:1: given without --engine vllm; allowed: both, or neither"),
        ({"tensor_parallel": 2}, "--tensor-parallel 2: hf runs on one device; allowed: 1, or --engine vllm"),
        ({"pipeline_parallel": 2}, "--pipeline-parallel 2: hf runs on one device; allowed: 1, or --engine vllm"),
        ({"vllm": (("seed", 1),)}, "--vllm seed: given without --engine vllm; allowed: both, or neither"),
        ({"engine": "vllm", "vllm": (("enforce_eager", False),)}, "--vllm enforce_eager: not allowed, the suite sets it: "),
        ({"engine": "vllm", "server": "localhost:8000"}, "--server localhost:8000: not allowed; allowed: http://HOST:PORT"),
        ({"engine": "vllm", "server": "http://127.0.0.1:9", "tensor_parallel": 2}, "--server: it has options of its own; leave"),
        ({"engine": "vllm", "server": "http://127.0.0.1:9"}, "--server http://127.0.0.1:9: nothing answers there (ConnectionRefusedError)"),
    ],
)
def test_what_an_engine_cannot_be_asked_for(settings: Settings, wrong: dict[str, Any], line: str) -> None:
    assert refusal(replace(settings, **wrong)).startswith(line)


def test_an_engine_that_is_not_installed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_start.importlib.util, "find_spec", lambda _: None)  # type: ignore[attr-defined]  # the module's own import
    assert refusal(replace(settings, engine="vllm")).startswith(
        "--engine vllm: vllm is not installed; install it with: pip install '.[vllm]'"
    )
