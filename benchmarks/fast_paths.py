"""What the fast paths save on this machine, as ratios of times within one run (smaller is better).

    python benchmarks/fast_paths.py

short chunks: scoring with delta-rule chunks of 16 against the library's 64. training: a stream of 20 examples with short
chunks and bfloat16 autocast against plain float32. sweep: 20 vectors at one layer, rerunning only the layers above it,
against 20 full passes. Each ratio is the median of five interleaved repeats.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import transformers

from fixtures.behaviors import resolve_behavior
from fixtures.models.figures import TINY_HYBRID
from harness.data.behavior_files import load_behavior
from harness.engines.hf import HFEngine
from harness.engines.protocol import Completion, Steering
from harness.forced_choice import completions_of
from harness.subject_files import base_subject
from harness.training import TrainingSettings, train_adapters

REPEATS = 5


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def ratio(fast: Callable[[], object], plain: Callable[[], object]) -> float:
    """Median over repeats of fast time by plain time, measured in turn."""
    fast(), plain()
    return statistics.median(seconds(fast) / seconds(plain) for _ in range(REPEATS))


def main() -> None:
    transformers.utils.logging.set_verbosity_error()
    subject = base_subject("tiny-hybrid", TINY_HYBRID)
    pairs = load_behavior(resolve_behavior("listening")).split("test")[:32]
    completions = completions_of(pairs)
    fast, plain = HFEngine(fast=True), HFEngine(fast=False)
    chunks = ratio(lambda: fast.score(subject, completions), lambda: plain.score(subject, completions))
    print(f"short chunks, scoring 64 completions: {chunks:.2f}")

    examples = [Completion(pair.messages, pair.positive) for pair in pairs[:20]]
    schedule = [(i,) for i in range(20)]

    def train(engine: HFEngine) -> None:
        train_adapters(engine, subject, examples, schedule, TrainingSettings(), 0, {})

    print(f"training, 20 steps of one example:    {ratio(lambda: train(fast), lambda: train(plain)):.2f}")
    width, rng = fast.base_model(subject).config.hidden_size, np.random.default_rng(0)
    for layer in (2, 4, 6):
        vectors = [Steering({layer: rng.normal(size=width).astype(np.float32)}) for _ in range(20)]

        def sweep(vectors: list[Steering] = vectors) -> None:
            fast.score_each(subject, completions, list(vectors))

        def one_by_one(vectors: list[Steering] = vectors) -> None:
            for vector in vectors:
                fast.score(subject, completions, vector)

        print(f"sweep of 20 vectors at layer {layer} of 8:   {ratio(sweep, one_by_one):.2f}")


if __name__ == "__main__":
    main()
