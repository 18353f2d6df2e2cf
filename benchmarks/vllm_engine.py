"""The vLLM engine on this machine: the parity table against hf, and its speed as ratios within one run.

    python benchmarks/vllm_engine.py                                              # tiny-hybrid and smollm2-135m on a CPU
    python benchmarks/vllm_engine.py --model PATH --device cuda --vllm gpu_memory_utilization=0.6 --tensor-parallel 2

Parity: the largest difference between the engines in the log-probability of a token, and in the mean of a completion, in nats. Rows: plain,
with a random adapter, with a vector in three modes of positions; each alone, and all in one batch, in which the plain requests must stay as
they are. The last rows show the differences that three mistakes would give.

Speed: 32 replies of 64 tokens and 64 scored completions, as the time of hf over that of vLLM (more is better). hf runs as the suite runs
it, and again in vLLM's number type without the suite's fast paths, with its replies in one batch. Beside them are vLLM's own prompt
log-probabilities, and the time of 32 steered replies, each with a vector of its own, over that of as many plain ones (1: steering costs
nothing). All are medians of interleaved repeats.

Bound: the time of hf for those completions over the time of their matrix products alone, in the model's own shapes with nothing between
them, at the better of two batch sizes and, on a CPU, of two libraries (torch's own choice, which for float32 may be the slower one, and
oneDNN). No engine that computes these products with these libraries gains more over hf in that number type. An engine that shares a prompt
between completions computes fewer products.
"""

from __future__ import annotations

import harness  # noqa: F401  # isort: skip  # before transformers: see harness/process/torchvision_cpu.py

import argparse
import copy
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from peft import LoraConfig, get_peft_model

from harness.behaviors.files import load_behavior
from harness.behaviors.shipped import resolve_behavior
from harness.data.settings import Settings
from harness.data.subject import Subject
from harness.engines.chat import end_tokens, tokenizer_of
from harness.engines.hf.batches import batches_of, padded_left
from harness.engines.hf.bfloat16 import bfloat16_pays
from harness.engines.hf.engine import HFEngine
from harness.engines.protocol import Completion, Scored, Sites, Steering, score
from harness.engines.rows import Row, rows_of
from harness.engines.vllm.engine import VLLMEngine
from harness.engines.vllm.local import LocalVLLM
from harness.engines.vllm.requests import Dose, Request, Sampling
from harness.engines.vllm.start import local_settings
from harness.gate.options import engine_arguments
from harness.readouts.forced_choice import completions_of
from harness.readouts.parity import MODES
from harness.store import Store
from harness.subjects.files import base_subject, with_adapter
from harness.subjects.named import base_folder

REPLIES, LENGTH, REPEATS = 32, 64, 5
DOSE = 0.4
"""Length of the steering vector, relative to the median norm of the residual stream."""


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def interleaved(works: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each in every round, [repeats], measured in turn after one round to warm up."""
    for work in works.values():
        work()
    rounds = [{name: seconds(work) for name, work in works.items()} for _ in range(repeats)]
    return {name: [one[name] for one in rounds] for name in works}


def ratio(slow: Sequence[float], fast: Sequence[float]) -> float:
    """Median over rounds of the slow one's time over the fast one's."""
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


def random_adapter(hf: HFEngine, base: Subject, folder: Path) -> Subject:
    """The base with a random LoRA adapter on all linear layers but the output."""
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
    """Largest difference in the log-probability of a token, and in the mean of a completion, in nats."""
    pairs = list(zip(ours, theirs, strict=True))
    return (
        max(float(np.abs(a.log_probabilities - b.log_probabilities).max()) for a, b in pairs),
        max(abs(a.per_token - b.per_token) for a, b in pairs),
    )


def parity(ours: VLLMEngine, local: LocalVLLM, theirs: HFEngine, base: Subject, adapted: Subject, asked: list[Completion]) -> None:
    """Print the parity table."""
    layer = local.served.layers // 2
    norm = theirs.record(base, asked[:1], Sites(residual_layers=(layer,)))[0].norms[layer]
    vector = np.random.default_rng(0).normal(size=local.served.width)
    vector = (vector / np.linalg.norm(vector) * DOSE * norm).astype(np.float32)
    kinds: dict[str, tuple[Subject, Steering | None]] = {"plain": (base, None), "adapter": (adapted, None)}
    kinds |= {f"steered, {mode}": (base, Steering({layer: vector}, mode)) for mode in MODES}
    kinds |= {"adapter and steered": (adapted, Steering({layer: vector})), "plain again": (base, None)}
    expected = {name: score(theirs, subject, asked, steering) for name, (subject, steering) in kinds.items()}
    print(f"  {'':24}{'alone: token':>14}{'mean':>10}{'mixed: token':>14}{'mean':>10}")
    rows = rows_of(base, asked)
    requests = [Request(row.tokens, row.given, s, ours.doses(base, v)) for row in rows for s, v in kinds.values()]
    answers = local.run(requests)
    for k, (name, (subject, steering)) in enumerate(kinds.items()):
        alone = gaps(score(ours, subject, asked, steering), expected[name])
        found = zip(answers[k :: len(kinds)], expected[name], strict=True)
        mixed = gaps([replace(other, log_probabilities=answer.log_probabilities) for answer, other in found], expected[name])
        print(f"  {name:24}{alone[0]:14.2g}{alone[1]:10.2g}{mixed[0]:14.2g}{mixed[1]:10.2g}")
    steered = score(ours, base, asked, Steering({layer: vector}))
    for name, wrong in (("reversed", Steering({layer: -vector})), ("a layer later", Steering({layer + 1: vector}))):
        token, mean = gaps(steered, score(theirs, base, asked, wrong))
        print(f"  if {name:21}{token:14.2g}{mean:10.2g}")
    token, mean = gaps(score(ours, adapted, asked), expected["plain"])
    print(f"  if the adapter were none{token:14.2g}{mean:10.2g}")


def generate_with_hf(hf: HFEngine, base: Subject, prompts: Sequence[Sequence[int]]) -> None:
    """Generate exactly LENGTH tokens for each prompt, in the batches and number type of the engine."""
    pad, rows = tokenizer_of(base).pad_token_id, [Row((*prompt, *[0] * LENGTH), 0) for prompt in prompts]
    with hf.model(base) as model, torch.autocast(hf.device, enabled=False):
        for batch in batches_of(rows, hf.batch_tokens):
            ids, seen = padded_left([Row(tuple(prompts[i]), 0) for i in batch], pad, hf.device)
            exactly: dict[str, Any] = {"min_new_tokens": LENGTH, "max_new_tokens": LENGTH, "pad_token_id": pad}
            model.generate(input_ids=ids, attention_mask=seen, do_sample=False, **exactly)


def score_all_prompts(local: LocalVLLM, rows: Sequence[Row]) -> None:
    """Score with vLLM's own prompt log-probabilities, which it computes for every token of a prompt."""
    from vllm import SamplingParams

    parameters = SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0, detokenize=False)
    local._llm.generate([{"prompt_token_ids": list(row.tokens)} for row in rows], parameters, use_tqdm=False)


def bare_products(model: Any, dtype: torch.dtype, rows: Sequence[Row], size: int, one_dnn: bool) -> Callable[[], None]:
    """A function that computes the matrix products of scoring these rows and nothing else.

    All tokens go through every matrix of the decoder, `size` at a time, and the scored ones through the output matrix.
    """
    linear: Any = torch._C._nn.mkldnn_linear if one_dnn else torch.nn.functional.linear
    inside = [module.weight.detach().to(dtype) for module in model.get_decoder().modules() if isinstance(module, torch.nn.Linear)]
    head = model.get_output_embeddings().weight.detach().to(dtype)
    tokens, scored = sum(len(row.tokens) for row in rows), sum(len(row.tokens) - row.given for row in rows)
    work = []
    for count, weights in ((tokens, inside), (scored, [head])):
        for batch in {min(size, count - start) for start in range(0, count, size)}:
            inputs = {width: torch.randn(batch, width, device=head.device).to(dtype) for width in {w.shape[1] for w in weights}}
            times = sum(min(size, count - start) == batch for start in range(0, count, size))
            work += [(inputs[w.shape[1]], w) for w in weights] * times
    if one_dnn:
        packed = {id(tensor): tensor.to_mkldnn() for pair in work for tensor in pair}
        work = [(packed[id(some)], packed[id(weight)]) for some, weight in work]

    def run() -> None:
        with torch.inference_mode():
            for some, weight in work:
                linear(some, weight, None)
        if head.is_cuda:
            torch.cuda.synchronize()

    return run


def in_type_of(local: LocalVLLM, hf: HFEngine, base: Subject) -> HFEngine:
    """The hf engine in vLLM's number type, without the suite's fast paths."""
    same = HFEngine(hf.device, fast=False, batch_tokens=hf.batch_tokens)
    same.base_model(base).to(getattr(torch, local.settings.dtype))
    return same


def generation(local: LocalVLLM, hf: HFEngine, same: HFEngine, base: Subject, prompts: Sequence[Sequence[int]], repeats: int) -> None:
    """Print the speed of generating."""
    sampling = Sampling(0, 0.0, LENGTH, end_tokens(base), LENGTH)
    rng = np.random.default_rng(0)
    vectors = [local.put((rng.normal(size=local.served.width) * 0.01).astype(np.float32)) for _ in prompts]
    plain = [Request(tuple(tokens), len(tokens), base, sampling=sampling) for tokens in prompts]
    steered = [replace(one, doses=(Dose(vector, local.served.layers // 2),)) for one, vector in zip(plain, vectors, strict=True)]
    one_batch = HFEngine(hf.device, fast=False, batch_tokens=len(prompts) * (max(map(len, prompts)) + LENGTH))
    one_batch.models = same.models
    works: dict[str, Callable[[], object]] = {
        "vllm": lambda: local.run(plain),
        "steered": lambda: local.run(steered),
        "hf": lambda: generate_with_hf(hf, base, prompts),
        "same": lambda: generate_with_hf(one_batch, base, prompts),
    }
    took = interleaved(works, repeats)
    rate = len(prompts) * LENGTH / statistics.median(took["vllm"])
    print(f"  generating {len(prompts)} x {LENGTH} tokens ({rate:.0f} tokens/s)")
    print(f"    by hf as the suite runs it            {ratio(took['hf'], took['vllm']):.2f}")
    print(f"    by hf in {local.settings.dtype}, in one batch      {ratio(took['same'], took['vllm']):.2f}")
    print(f"    steered by plain replies, time        {ratio(took['steered'], took['vllm']):.3f}")


def scoring(ours: VLLMEngine, local: LocalVLLM, hf: HFEngine, same: HFEngine, base: Subject, asked: list[Completion], repeats: int) -> None:
    """Print the speed of scoring and its bound."""
    rows, model, served = rows_of(base, asked), hf.base_model(base), getattr(torch, local.settings.dtype)
    own = torch.bfloat16 if hf.fast and hf.device == "cpu" and bfloat16_pays(model.config.hidden_size) else model.dtype
    works: dict[str, Callable[[], object]] = {
        "vllm": lambda: score(ours, base, asked),
        "all": lambda: score_all_prompts(local, rows),
        "hf": lambda: score(hf, base, asked),
        "same": lambda: score(same, base, asked),
    }
    ways = [(size, one_dnn) for size in (256, hf.batch_tokens) for one_dnn in ([False, True] if hf.device == "cpu" else [False])]
    for dtype in {own, served}:
        works |= {f"{dtype} {way}": bare_products(model, dtype, rows, *way) for way in ways}
    took = interleaved(works, repeats)
    bare = {dtype: min((took[f"{dtype} {way}"] for way in ways), key=statistics.median) for dtype in (own, served)}
    tokens, scored = sum(len(row.tokens) for row in rows), sum(len(row.tokens) - row.given for row in rows)
    rate = tokens / statistics.median(took["vllm"])
    print(f"  scoring {len(asked)} completions of {tokens} tokens, {scored} of them scored ({rate:.0f} tokens/s)")
    print(f"    by hf as the suite runs it            {ratio(took['hf'], took['vllm']):.2f}")
    print(f"    by hf in {local.settings.dtype}                    {ratio(took['same'], took['vllm']):.2f}")
    print(f"    by vllm's prompt log-probabilities    {ratio(took['all'], took['vllm']):.2f}")
    print("  of the rate of bare products, and the most that any engine in that type gains over hf")
    for who, name, dtype in (("hf as the suite runs it", "hf", own), ("hf", "same", served), ("vllm", "vllm", served)):
        bound = ratio(took[name], bare[dtype])
        print(f"    {f'{who}, {dtype}'.replace('torch.', ''):38}{1 / bound:.0%}" + ("" if name == "vllm" else f"  {bound:.2f}"))
    if own != served:
        print(f"    {f'hf as the suite runs it, by products in {local.settings.dtype}':50}{ratio(took['hf'], bare[served]):.2f}")


def speed(ours: VLLMEngine, local: LocalVLLM, hf: HFEngine, base: Subject, asked: list[Completion], repeats: int) -> None:
    """Print speed and bound."""
    same = in_type_of(local, hf, base)
    prompts = [row.tokens[: row.given] for row in rows_of(base, asked[::2])][:REPLIES]
    generation(local, hf, same, base, prompts, repeats)
    scoring(ours, local, hf, same, base, asked, repeats)


def measure(model: str, options: argparse.Namespace) -> None:
    """Print parity and speed of one model."""
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
    """Measure each model on the command line."""
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
