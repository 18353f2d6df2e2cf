"""How near training, scoring and generation come to the matrix products that they are made of, within one run on this machine.

    python benchmarks/products.py

Each piece of work runs once under a dispatch mode that notes the shapes, strides and types of every matrix product that it makes: those of
the base's weights and of the low-rank ones, forward and backward, of the delta rule, of attention in a step of generation, and of the
output embedding. The same products with nothing between them are the bare ones; the share is their processor time over that of the work,
the least of interleaved repeats on both sides. Not counted as products, and so against the share: triangular systems, and the library's
fused attention over whole conversations. One thread; larger is better.
"""

from __future__ import annotations

import harness  # noqa: F401  # isort: skip  # before transformers: see harness/process/torchvision_cpu.py

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import transformers
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from fixtures import corpora
from fixtures.models.figures import TINY_HYBRID
from harness.arms.maker import ArmMaker
from harness.arms.training import TrainingSettings, train_adapters
from harness.behaviors.files import load_behavior
from harness.behaviors.shipped import resolve_behavior
from harness.engines.hf.engine import HFEngine
from harness.engines.protocol import Completion, score
from harness.readouts.forced_choice import completions_of
from harness.store import Store
from harness.subjects.files import base_subject

REPEATS, STEPS, PAIRS = 5, 4, 64
_FACTORS: dict[Any, tuple[int, int]] = {
    torch.ops.aten.linear.default: (0, 1),
    torch.ops.aten.matmul.default: (0, 1),
    torch.ops.aten.mm.default: (0, 1),
    torch.ops.aten.bmm.default: (0, 1),
    torch.ops.aten.addmm.default: (1, 2),
    torch.ops.aten.addmm_.default: (1, 2),
    torch.ops.aten.baddbmm.default: (1, 2),
    torch.ops.aten.baddbmm_.default: (1, 2),
}
"""Places of the two factors among the arguments of every operation that is a product."""
_Laid = tuple[tuple[int, ...], tuple[int, ...], torch.dtype]


class Products(TorchDispatchMode):
    """Counts the matrix products made while it is on, by shape, strides and type of both factors."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[tuple[_Laid, _Laid]] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        if func in _FACTORS:
            one, other = (args[place] for place in _FACTORS[func])
            other = other.t() if func is torch.ops.aten.linear.default else other
            self.seen[(tuple(one.shape), one.stride(), one.dtype), (tuple(other.shape), other.stride(), other.dtype)] += 1
        return func(*args, **(kwargs or {}))


def bare(work: Callable[[], object]) -> Callable[[], None]:
    """What makes the matrix products of `work` on random numbers and nothing else."""
    with Products() as products:
        work()
    generator = torch.Generator().manual_seed(0)

    def laid(shape: tuple[int, ...], stride: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        needed = 1 + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
        return torch.randn(needed, generator=generator).to(dtype).as_strided(shape, stride)

    factors = [(laid(*one), laid(*other), count) for (one, other), count in products.seen.items()]
    made = [one @ other for one, other, _ in factors]

    def run() -> None:
        for (one, other, count), out in zip(factors, made, strict=True):
            for _ in range(count):
                torch.matmul(one, other, out=out)

    return run


def share(work: Callable[[], object]) -> float:
    """Processor time of the bare products over that of the work."""
    products = bare(work)

    def seconds(run: Callable[[], object]) -> float:
        started = time.process_time()
        run()
        return time.process_time() - started

    times = [(seconds(products), seconds(work)) for _ in range(REPEATS)]
    return min(one for one, _ in times) / min(other for _, other in times)


def main() -> None:
    """Print every share."""
    transformers.utils.logging.set_verbosity_error()
    torch.set_num_threads(1)
    engine, subject = HFEngine(), base_subject("tiny-hybrid", TINY_HYBRID)
    behavior, settings = load_behavior(resolve_behavior("listening")), TrainingSettings()
    neutral = tuple(Completion(example.messages, example.completion) for example in corpora.neutral())
    with TemporaryDirectory() as folder:
        maker = ArmMaker(engine, Store(Path(folder)), subject, behavior, neutral, settings)
    plans = {
        "one example a step, three trainings": list(maker.stream_plans(0, 4 * STEPS).values()),
        "three examples a step, nine trainings": [plan for plan in maker.steps_plans(0, (5, 10, 20, 50)).values()],
    }
    for name, each in plans.items():
        short = [replace(plan, schedule=plan.schedule[: 4 * STEPS if len(plan.schedule[0]) == 1 else STEPS]) for plan in each]
        print(f"training, {name:40} {share(lambda short=short: train_adapters(engine, subject, short, settings)):.2f}")  # type: ignore[misc]
    pairs = behavior.pairs[:PAIRS]
    completions, prompts = completions_of(pairs), [pair.messages for pair in pairs]
    print(f"scoring {2 * PAIRS} completions {'':31} {share(lambda: score(engine, subject, completions)):.2f}")
    print(f"generating 4 replies to {PAIRS} prompts {'':21} {share(lambda: engine.generate_each(subject, prompts, seeds=range(4))):.2f}")


if __name__ == "__main__":
    main()
