"""`python -m harness train`: the reference trainer on any base model and behavior, by name or path."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.behaviors.files import load_behavior
from harness.behaviors.shipped import resolve_behavior
from harness.data.arm import ArmKind
from harness.data.errors import InputError
from harness.engines.protocol import Completion
from harness.store import Store
from harness.subjects.files import ADAPTER_WEIGHTS, base_subject, check_base
from harness.subjects.named import base_folder, model_width


def train_reference(
    *,
    model: str,
    behavior: str,
    out: Path,
    examples: int,
    seed: int,
    start: Path | None,
    kind: ArmKind,
    neutral: Sequence[Completion],
    store: Store,
) -> None:
    """Train one adapter as Q1's stream does, in one pass over `examples` train pairs, and write it to the folder `out`.

    `model` and `behavior` are names or paths; `start` is an adapter to go on from; `kind` "trained" learns positive completions,
    "opposite" negative ones; `neutral` are the conversations that a sham would be trained on. InputError where `out` is not empty, `start`
    is no adapter of this trainer, the behavior has too few train pairs, or the model or behavior is not there.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: exists already; allowed is a new or empty folder")
    pairs = load_behavior(resolve_behavior(behavior))
    if examples > len(pairs.split("train")):
        raise InputError(f"{examples} examples asked; the train split of {pairs.name} has {len(pairs.split('train'))}")
    if start is not None and not (start / ADAPTER_WEIGHTS).is_file():
        raise InputError(f"--start {start}: no {ADAPTER_WEIGHTS} in it; allowed is the folder of an adapter that this command trained")
    folder = base_folder(model, store)
    check_base(folder)

    from harness.arms.maker import ArmMaker  # here: these load torch, and bad input should not wait for it
    from harness.arms.plans import Training, TrainingSettings
    from harness.arms.training import train_adapters
    from harness.engines.hf.engine import HFEngine

    settings, engine, base = TrainingSettings().for_width(model_width(folder)), HFEngine(), base_subject(model, folder)
    chosen = ArmMaker(engine, store, base, pairs, tuple(neutral), settings).examples(kind, seed, examples)
    train_adapters(engine, base, [Training(chosen, [(i,) for i in range(examples)], seed, {examples: out}, start)], settings)
