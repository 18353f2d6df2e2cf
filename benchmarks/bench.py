"""What speed rests on, as ratios within one run on this machine: `make bench`, or python benchmarks/bench.py [--part passes,growth,runs].

passes: training, scoring and recording against the bare matrix products of the same shapes, and the fast paths against plain ones.
growth: how time grows with scenarios, with tokens and with trainings side by side, as exponents (1 is proportional).
runs: cold and warm runs of the gate as a user starts them, in a store of their own; the cold one with the peak memory of all processes.
One thread in this process, two workers in the runs. Everything else on the machine shows in it: stop what you can.
"""

from __future__ import annotations

import harness  # noqa: F401  # isort: skip  # before transformers: see harness/process/torchvision_cpu.py

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import torch
import transformers
from fast_paths import REPEATS, ratio, seconds, sweep_of_trainings
from memory import pss, tree
from products import share
from recording import Bench as Recorder

from fixtures.models.figures import TINY_HYBRID
from harness.arms.plans import Training, TrainingSettings
from harness.arms.training import train_adapters
from harness.behaviors.files import load_behavior
from harness.behaviors.shipped import resolve_behavior
from harness.data.behavior import Pair
from harness.data.settings import PROJECT
from harness.data.subject import Subject
from harness.engines.hf.engine import HFEngine
from harness.engines.protocol import Completion, score
from harness.readouts.forced_choice import completions_of
from harness.subjects.files import base_subject

SIDE_BY_SIDE = 3
"""Trainings in one batch: as many as one seed of Q1's stream has."""


def machine() -> str:
    """The machine in words."""
    model = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "")
    units = torch.backends.cpu.get_cpu_capability()
    return f"{model or platform.processor()}, {os.cpu_count()} cores, {units}, torch {torch.__version__}, load {os.getloadavg()[0]:.1f}"


def passes(engine: HFEngine, subject: Subject, pairs: Sequence[Pair]) -> None:
    """Print how far each kind of pass is from its bare products, and the fast paths from plain ones."""
    completions, settings, plain = completions_of(pairs), TrainingSettings(), HFEngine(fast=False)
    scoring = partial(score, engine, subject, completions)
    print(f"scoring: share of the rate of bare products            {share(scoring):6.2f}   (target .5)")
    both = ratio(scoring, partial(score, plain, subject, completions))
    print(f"scoring: time by that of the library's layers           {both:6.2f}")
    with tempfile.TemporaryDirectory() as folder:
        train = partial(train_adapters, engine, subject, trainings(pairs, SIDE_BY_SIDE, Path(folder)), settings)
        print(f"training: share of the rate of bare products           {share(train):6.2f}   (target .25)")
    print(f"training: Q1's sweep of one seed by stock peft          {sweep_of_trainings(engine, subject):6.2f}   (target .25)")
    for length in (64, 512):
        recorder = Recorder(TINY_HYBRID, "cpu", length)
        took = ratio(partial(recorder.run, "everything"), partial(recorder.run, "bare"))
        print(f"recording, {length:3} tokens: time by that of a bare pass        {took:6.2f}   (target 1.15)")


def trainings(pairs: Sequence[Pair], count: int, folder: Path, examples: int = 8) -> list[Training]:
    """Trainings of one example a step, saved at the end."""
    chosen = [Completion(pair.messages, pair.positive) for pair in pairs[:examples]]
    return [Training(chosen, [(i,) for i in range(examples)], seed, {examples: folder / str(seed)}) for seed in range(count)]


def growth(engine: HFEngine, subject: Subject, pairs: Sequence[Pair]) -> None:
    """Print the exponents."""

    def exponent(sizes: Sequence[int], work: Callable[[int], object]) -> float:
        work(sizes[0])
        times = [statistics.median(seconds(partial(work, size)) for _ in range(REPEATS)) for size in sizes]
        return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])

    many = load_behavior(resolve_behavior("listening")).split("test")
    wider = exponent((16, 32, 64, 128), lambda n: score(engine, subject, completions_of(many[:n])))
    print(f"growth with scenarios (16 to 128)                       {wider:6.2f}")
    text = "The hall is painted yellow before noon. " * 64
    longer = exponent((64, 128, 256, 512), lambda n: engine.score_texts_each(subject, [text[: 5 * n]] * 8, [None]))
    print(f"growth with tokens of a row (64 to 512)                 {longer:6.2f}")
    with tempfile.TemporaryDirectory() as folder:
        side = exponent((1, 2, 4, 8), lambda n: train_adapters(engine, subject, trainings(pairs, n, Path(folder)), TrainingSettings()))
    print(f"growth with trainings side by side (1 to 8)             {side:6.2f}")


def runs(scratch: Path) -> None:
    """Print wall time, processor time and peak memory of the gate as a user starts it."""
    places = ("--store", scratch / "store", "--history", scratch / "history.sqlite", "--reports", scratch / "reports")
    workers = ("-n", "2", "--dist", "load", "--maxschedchunk", "1", "--inconclusive", "allow")
    train = [sys.executable, "-m", "harness", "train", "--behavior", "listening", "--examples", "50", "--seed", "77", "--out"]
    subprocess.run([*train, str(scratch / "candidate")], check=True, capture_output=True, cwd=PROJECT)
    asked: list[tuple[str, tuple[object, ...]]] = [
        ("make evals, cold (target 300 s)", ("evals", *workers, *places)),
        ("make evals, warm", ("evals", *workers, *places)),
        ("a new candidate, warm store (target 60 s)", ("evals", *workers, *places, "--candidate", scratch / "candidate", "--cycle", "new")),
        ("q4 -k regression, warm (target 10 s)", ("evals/q4", "-k", "regression", *places)),
        ("q4 -k regression, warm, --no-report (target 5 s)", ("evals/q4", "-k", "regression", "--no-report", *places)),
        ("evals --co (target 1.5 s)", ("evals", "--co", "-q")),
        ("--help (target 1.5 s)", ("--help",)),
    ]
    print(f"{'':52}{'seconds':>8}{'of processor':>14}{'peak GiB':>10}")
    for name, arguments in asked:
        wall, processor, peak = measured([sys.executable, "-m", "pytest", *map(str, arguments)])
        print(f"{name:52}{wall:8.1f}{processor:14.1f}{peak:10.2f}", flush=True)


def measured(command: Sequence[str]) -> tuple[float, float, float]:
    """Wall seconds, processor seconds of the process and its children, and the peak of their summed memory in GiB, sampled."""
    before, began, peak = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter(), 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=PROJECT) as running:
        root = psutil.Process(running.pid)
        while running.poll() is None:
            peak = max(peak, sum(map(pss, tree(root))))
            time.sleep(0.5)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - began, processor, peak / 2**30


def main() -> None:
    """Print every part that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", default="passes,growth,runs")
    asked = parser.parse_args().part.split(",")
    transformers.utils.logging.set_verbosity_error()
    torch.set_num_threads(1)
    print(machine())
    engine, subject = HFEngine(), base_subject("tiny-hybrid", TINY_HYBRID)
    pairs = load_behavior(resolve_behavior("listening")).split("test")[:32]
    if "passes" in asked:
        passes(engine, subject, pairs)
    if "growth" in asked:
        growth(engine, subject, pairs)
    if "runs" in asked:
        with tempfile.TemporaryDirectory() as folder:
            runs(Path(folder))


if __name__ == "__main__":
    main()
