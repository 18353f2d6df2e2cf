"""What the fast paths save on this machine: the time of the fast path over that of the plain one, within one run.

    python benchmarks/fast_paths.py

Fused layers and packed rows: scoring with them against the library's layers, row by row; and the matrix products of that scoring alone, in
the same shapes, over the whole of it: the share of the hardware's own rate that is reached (larger is better). Training: Q1's trainings of
one seed (three streams of 50 examples, matched steps at five sizes), side by side on fused layers, against one after the other in a plain
peft loop in float32. Steering: 20 vectors at one layer, with only the layers above it computed again, against 20 full passes. Each ratio is
the median of interleaved repeats, except training, which takes minutes and is measured once. Smaller is better.
"""

from __future__ import annotations

import harness  # noqa: F401  # isort: skip  # before transformers: see harness/process/torchvision_cpu.py

import contextlib
import copy
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import transformers
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn

from fixtures import corpora
from fixtures.models.figures import TINY_HYBRID
from harness.arms.maker import ArmMaker
from harness.arms.plans import Training, TrainingSettings
from harness.behaviors.files import load_behavior
from harness.behaviors.shipped import resolve_behavior
from harness.data.subject import Subject
from harness.engines.chat import encode_prompt, encode_reply, tokenizer_of
from harness.engines.hf.engine import HFEngine
from harness.engines.protocol import Completion, Steering, score
from harness.readouts.forced_choice import completions_of
from harness.store import Store
from harness.subjects.files import base_subject

REPEATS = 5


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def ratio(fast: Callable[[], object], plain: Callable[[], object]) -> float:
    """Median over repeats of the fast path's time over the plain one's, measured in turn after one round to warm up."""
    fast(), plain()
    return statistics.median(seconds(fast) / seconds(plain) for _ in range(REPEATS))


def products_of(engine: HFEngine, subject: Subject, work: Callable[[], object]) -> Callable[[], object]:
    """The products of every linear layer of this subject during `work`, one after the other, with nothing between them."""
    shapes: list[tuple[int, int, int]] = []

    def note(module: nn.Linear, inputs: tuple[Tensor, ...], _output: Tensor) -> None:
        shapes.append((inputs[0].numel() // module.in_features, module.in_features, module.out_features))

    with engine.model(subject) as model, contextlib.ExitStack() as stack:
        for module in model.modules():
            if isinstance(module, nn.Linear):
                stack.callback(module.register_forward_hook(note).remove)
        work()
    factors = [(torch.randn(rows, inputs), torch.randn(outputs, inputs).t()) for rows, inputs, outputs in shapes]

    def run() -> None:
        for x, weight in factors:
            torch.mm(x, weight)

    return run


def stock(engine: HFEngine, subject: Subject, plan: Training, settings: TrainingSettings) -> None:
    """One training as peft's documentation shows it."""
    tokenizer = tokenizer_of(subject)
    torch.manual_seed(plan.seed)
    config = LoraConfig(r=settings.rank, lora_alpha=settings.alpha, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(copy.deepcopy(engine.base_model(subject)), config)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=settings.learning_rate)
    model.train()
    for step in plan.schedule:
        prompts = [encode_prompt(tokenizer, plan.examples[i].messages).tokens for i in step]
        replies = [(*encode_reply(tokenizer, plan.examples[i].text), tokenizer.eos_token_id) for i in step]
        width = max(len(p) + len(r) for p, r in zip(prompts, replies, strict=True))
        ids = torch.full((len(step), width), tokenizer.pad_token_id)
        labels = torch.full((len(step), width), -100)
        for row, (prompt, reply) in enumerate(zip(prompts, replies, strict=True)):
            ids[row, : len(prompt) + len(reply)] = torch.tensor([*prompt, *reply])
            labels[row, len(prompt) : len(prompt) + len(reply)] = torch.tensor(reply)
        loss = model(input_ids=ids, attention_mask=(labels != -100) | (ids != tokenizer.pad_token_id), labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def sweep_of_trainings(engine: HFEngine, subject: Subject) -> float:
    """Time of Q1's trainings of one seed side by side over their time in plain peft, measured once."""
    neutral = tuple(Completion(example.messages, example.completion) for example in corpora.neutral())
    settings, doses = TrainingSettings(), (1, 5, 10, 20, 50)
    with tempfile.TemporaryDirectory() as folder:
        maker = ArmMaker(engine, Store(Path(folder)), subject, load_behavior(resolve_behavior("listening")), neutral, settings)
        side_by_side = seconds(lambda: (maker.stream("trained", 0, doses), maker.steps(0, doses)))
    plans = [*maker.stream_plans(0, max(doses)).values(), *maker.steps_plans(0, doses).values()]

    def one_by_one() -> None:
        for plan in plans:
            stock(engine, subject, plan, settings)

    return side_by_side / seconds(one_by_one)


def main() -> None:
    """Print every ratio."""
    transformers.utils.logging.set_verbosity_error()
    subject = base_subject("tiny-hybrid", TINY_HYBRID)
    pairs = load_behavior(resolve_behavior("listening")).split("test")[:32]
    completions = completions_of(pairs)
    fast, plain = HFEngine(fast=True), HFEngine(fast=False)
    chunks = ratio(lambda: score(fast, subject, completions), lambda: score(plain, subject, completions))
    print(f"fused layers, scoring 64 completions: {chunks:.2f}")
    products = products_of(fast, subject, lambda: score(fast, subject, completions))
    print(f"its matrix products alone:            {ratio(products, lambda: score(fast, subject, completions)):.2f}")

    print(f"training, Q1's sweep of one seed:     {sweep_of_trainings(fast, subject):.2f}")
    width, rng = fast.base_model(subject).config.hidden_size, np.random.default_rng(0)
    for layer in (2, 4, 6):
        vectors = [Steering({layer: rng.normal(size=width).astype(np.float32)}) for _ in range(20)]

        def sweep(vectors: list[Steering] = vectors) -> None:
            fast.score_each(subject, completions, list(vectors))

        def one_by_one(vectors: list[Steering] = vectors) -> None:
            for vector in vectors:
                score(fast, subject, completions, vector)

        print(f"sweep of 20 vectors at layer {layer} of 8:   {ratio(sweep, one_by_one):.2f}")


if __name__ == "__main__":
    main()
