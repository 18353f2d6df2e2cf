"""The vLLM engine on this machine: the parity table against hf, and its speed as ratios within one run.

    python benchmarks/vllm_engine.py                                              # tiny-hybrid and smollm2-135m on a CPU
    python benchmarks/vllm_engine.py --model PATH --device cuda --vllm gpu_memory_utilization=0.6 --tensor-parallel 2

Parity: the largest difference over completions of a log-probability, of single tokens and of means over a completion, in nats; plain,
a random adapter, a vector in three modes of positions, and all of them in one batch, in which the plain requests must be untouched.
Under them what two mistakes would give. Speed: 32 replies of 64 tokens and 64 scored completions, hf's time by vLLM's (more is
better); and 32 steered replies, each with a vector of its own, by as many plain ones (1 is free). Medians of interleaved repeats.
"""

from __future__ import annotations

import harness  # noqa: F401  # isort: skip  # before transformers: see harness/torchvision_cpu.py

import argparse
import copy
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from peft import LoraConfig, get_peft_model

from fixtures.behaviors import resolve_behavior
from fixtures.subjects import base_folder
from harness.data.behavior_files import load_behavior
from harness.data.settings import Settings
from harness.data.subject import Subject
from harness.engines.hf import HFEngine
from harness.engines.protocol import Completion, Scored, Sites, Steering
from harness.engines.vllm import VLLMEngine
from harness.engines.vllm_local import LocalVLLM
from harness.engines.vllm_requests import Dose, Request, Sampling
from harness.engines.vllm_start import local_settings
from harness.forced_choice import completions_of
from harness.gate.options import engine_arguments
from harness.parity import MODES
from harness.store import Store
from harness.subject_files import base_subject, with_adapter

REPLIES, LENGTH, REPEATS = 32, 64, 5
DOSE = 0.4
"""Of the median residual norm."""


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def ratio(slow: Callable[[], object], fast: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Median of slow by fast, measured in turn after one round to warm up; and the median seconds of `fast`."""
    slow(), fast()
    rounds = [(seconds(slow), seconds(fast)) for _ in range(repeats)]
    return statistics.median(a / b for a, b in rounds), statistics.median(b for _, b in rounds)


def random_adapter(hf: HFEngine, base: Subject, folder: Path) -> Subject:
    torch.manual_seed(0)
    names = {name.rsplit(".", 1)[-1] for name, module in hf.base_model(base).named_modules() if isinstance(module, torch.nn.Linear)}
    config = LoraConfig(r=4, lora_alpha=4, target_modules=sorted(names - {"lm_head"}), init_lora_weights=False, task_type="CAUSAL_LM")
    model: Any = get_peft_model(copy.deepcopy(hf.base_model(base)), config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_" in name:
                weight.mul_(0.5)
    model.save_pretrained(folder)
    return with_adapter(base, folder, "adapter")


def gaps(ours: Sequence[Scored], theirs: Sequence[Scored]) -> tuple[float, float]:
    """Largest gap of a token's, and of a completion's mean log-probability."""
    pairs = list(zip(ours, theirs, strict=True))
    return (
        max(float(np.abs(a.log_probabilities - b.log_probabilities).max()) for a, b in pairs),
        max(abs(a.per_token - b.per_token) for a, b in pairs),
    )


def parity(ours: VLLMEngine, local: LocalVLLM, theirs: HFEngine, base: Subject, adapted: Subject, asked: list[Completion]) -> None:
    layer = local.served.layers // 2
    norm = theirs.record(base, asked[:1], Sites(residual_layers=(layer,)))[0].norms[layer]
    vector = np.random.default_rng(0).normal(size=local.served.width)
    vector = (vector / np.linalg.norm(vector) * DOSE * norm).astype(np.float32)
    kinds: dict[str, tuple[Subject, Steering | None]] = {"plain": (base, None), "adapter": (adapted, None)}
    kinds |= {f"steered, {mode}": (base, Steering({layer: vector}, mode)) for mode in MODES}
    kinds |= {"adapter and steered": (adapted, Steering({layer: vector})), "plain again": (base, None)}
    expected = {name: theirs.score(subject, asked, steering) for name, (subject, steering) in kinds.items()}
    print(f"  {'':24}{'alone: token':>14}{'mean':>10}{'mixed: token':>14}{'mean':>10}")
    rows = theirs.rows(base, asked)
    requests = [Request(row.tokens, row.given, s, ours.doses(base, v)) for row in rows for s, v in kinds.values()]
    answers = local.run(requests)
    for k, (name, (subject, steering)) in enumerate(kinds.items()):
        alone = gaps(ours.score(subject, asked, steering), expected[name])
        found = zip(answers[k :: len(kinds)], expected[name], strict=True)
        mixed = gaps([replace(other, log_probabilities=answer.log_probabilities) for answer, other in found], expected[name])
        print(f"  {name:24}{alone[0]:14.2g}{alone[1]:10.2g}{mixed[0]:14.2g}{mixed[1]:10.2g}")
    steered = ours.score(base, asked, Steering({layer: vector}))
    for name, wrong in (("reversed", Steering({layer: -vector})), ("a layer later", Steering({layer + 1: vector}))):
        token, mean = gaps(steered, theirs.score(base, asked, wrong))
        print(f"  if {name:21}{token:14.2g}{mean:10.2g}")
    token, mean = gaps(ours.score(adapted, asked), expected["plain"])
    print(f"  if the adapter were none{token:14.2g}{mean:10.2g}")


def generate_with_hf(hf: HFEngine, base: Subject, prompts: Sequence[Sequence[int]]) -> None:
    """Exactly LENGTH tokens for each of the prompts, in one batch."""
    pad, width = hf.tokenizer(base).pad_token_id, max(map(len, prompts))
    ids = torch.tensor([[pad] * (width - len(p)) + list(p) for p in prompts], device=hf.device)
    seen = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=hf.device)
    with hf.model(base) as model:
        model.generate(input_ids=ids, attention_mask=seen, do_sample=False, min_new_tokens=LENGTH, max_new_tokens=LENGTH, pad_token_id=pad)


def speed(ours: VLLMEngine, local: LocalVLLM, hf: HFEngine, base: Subject, asked: list[Completion], repeats: int) -> None:
    prompts = [row.tokens[: row.given] for row in hf.rows(base, asked[::2])][:REPLIES]
    sampling = Sampling(0, 0.0, LENGTH, hf.end_tokens(base), LENGTH)
    rng = np.random.default_rng(0)
    vectors = [local.put((rng.normal(size=local.served.width) * 0.01).astype(np.float32)) for _ in prompts]
    layer = local.served.layers // 2
    plain = [Request(tokens, len(tokens), base, sampling=sampling) for tokens in prompts]
    steered = [replace(request, doses=(Dose(vector, layer),)) for request, vector in zip(plain, vectors, strict=True)]
    times, took = ratio(lambda: generate_with_hf(hf, base, prompts), lambda: local.run(plain), repeats)
    print(f"  generating {len(prompts)} x {LENGTH} tokens:  {times:.2f} x hf ({len(prompts) * LENGTH / took:.0f} tokens/s)")
    tokens = sum(len(row.tokens) for row in hf.rows(base, asked))
    times, took = ratio(lambda: hf.score(base, asked), lambda: ours.score(base, asked), repeats)
    print(f"  scoring {len(asked)} completions:    {times:.2f} x hf ({tokens / took:.0f} tokens/s)")
    times, _ = ratio(lambda: local.run(steered), lambda: local.run(plain), repeats)
    print(f"  steered by plain replies:   {times:.3f} x the time")


def measure(model: str, options: argparse.Namespace) -> None:
    settings = Settings(
        engine="vllm",
        tensor_parallel=options.tensor_parallel,
        pipeline_parallel=options.pipeline_parallel,
        vllm=engine_arguments(options.vllm),
    )
    base = base_subject(Path(model).name, base_folder(model, Store(Settings.store)))
    exact, hf = HFEngine(options.device, fast=False), HFEngine(options.device)
    chosen = replace(local_settings(settings, base.base, options.device), in_process=options.in_process)
    local = LocalVLLM(base, chosen)
    ours = VLLMEngine(lambda _: local, hf, local.served.numerics)
    print(f"{base.name}: {local.served.numerics}; hf: {hf.numerics}")
    asked = completions_of(load_behavior(resolve_behavior("listening")).split("test")[:REPLIES])
    with tempfile.TemporaryDirectory() as folder:
        parity(ours, local, exact, base, random_adapter(exact, base, Path(folder) / "adapter"), asked[:8])
    del exact
    speed(ours, local, hf, base, asked, options.repeats)
    local.close()


def main() -> None:
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", help="shipped name, folder or hub id; repeatable (default tiny-hybrid, smollm2-135m)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--tensor-parallel", type=int, default=1)
    parser.add_argument("--pipeline-parallel", type=int, default=1)
    parser.add_argument("--vllm", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--in-process", action="store_true", help="vLLM without processes of its own")
    options = parser.parse_args()
    for model in options.model or ("tiny-hybrid", "smollm2-135m"):
        measure(model, options)


if __name__ == "__main__":
    main()
