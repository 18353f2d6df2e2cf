"""Further training cycles on top of a trained arm: more of the same, counter-examples, neutral conversations, corrections.

A cycle goes on from the adapter of the cycle before, with a fresh optimizer, in steps of four examples; every pass has a new order.
Adapters are kept after several numbers of steps, so one training gives several doses. Everything follows from the seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.arms.doses import CORRECTION_STEPS, CYCLE_STEPS, EXAMPLES, HEALTHY_STEPS, NIGHTLY_STEPS
from harness.arms.maker import ArmMaker
from harness.arms.plans import Training
from harness.data.arm import ArmKind
from harness.data.subject import Subject
from harness.engines.protocol import Completion
from harness.subjects.files import with_adapter


@dataclass(frozen=True)
class Cycles:
    """The subjects of one seed. The keys of the three mappings are the examples seen since the healthy adapter."""

    healthy: Subject
    """Trained until the behavior was learned."""
    further: Mapping[int, Subject]
    """Trained further on positive completions."""
    degraded: Mapping[int, Subject]
    """Trained further on counter-examples: negative completions."""
    sham: Mapping[int, Subject]
    """Trained further on neutral conversations."""


def _schedule(n: int, steps: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """Which of `n` examples every step sees: passes over all of them, each in a new order."""
    queue: list[int] = []
    while len(queue) < steps * EXAMPLES:
        queue += [int(i) for i in rng.permutation(n)]
    return [tuple(queue[k * EXAMPLES : (k + 1) * EXAMPLES]) for k in range(steps)]


def _subject(maker: ArmMaker, folder: Path, what: str, seed: int) -> Subject:
    return with_adapter(maker.base, folder, f"{maker.base.name} {what} seed={seed}", maker.store.digest)


def _examples(maker: ArmMaker) -> int:
    """Number of train pairs used: all of them, or as many as there are neutral conversations to match them."""
    return min(len(maker.behavior.split("train")), len(maker.neutral))


def healthy(maker: ArmMaker, seed: int) -> tuple[Subject, Path]:
    """The subject trained until the behavior is learned, and the folder of its adapter."""
    n = _examples(maker)
    plan = Training(maker.examples("trained", seed, n), _schedule(n, HEALTHY_STEPS, np.random.default_rng([seed, 11])), seed)
    folder = maker.trained({"healthy": plan}, [HEALTHY_STEPS])["healthy"] / str(HEALTHY_STEPS)
    return _subject(maker, folder, "healthy", seed), folder


def cycles(maker: ArmMaker, seed: int) -> Cycles:
    """The healthy subject of a seed and the three cycles that go on from it, trained side by side."""
    n = _examples(maker)
    subject, start = healthy(maker, seed)
    schedule = _schedule(n, max(CYCLE_STEPS), np.random.default_rng([seed, 12]))
    kinds: dict[str, ArmKind] = {"further": "trained", "degraded": "opposite", "sham": "sham"}
    plans = {name: Training(maker.examples(kind, seed, n), schedule, seed, start=start) for name, kind in kinds.items()}
    folders = maker.trained(plans, CYCLE_STEPS)
    made = {
        name: {EXAMPLES * k: _subject(maker, folder / str(k), f"{name} {EXAMPLES * k}", seed) for k in CYCLE_STEPS}
        for name, folder in folders.items()
    }
    return Cycles(subject, made["further"], made["degraded"], made["sham"])


def counter_examples(maker: ArmMaker, seed: int, steps: Sequence[int], order: int = 0) -> dict[int, Subject]:
    """Subjects trained from the healthy adapter on counter-examples, by number of steps: finer doses than those of `cycles`.

    `order` picks one of several orders of the examples; 0 is the order that `cycles` uses.
    """
    n = _examples(maker)
    _, start = healthy(maker, seed)
    schedule = _schedule(n, max(steps), np.random.default_rng([seed, 12, *([order] if order else [])]))
    plan = Training(maker.examples("opposite", seed, n), schedule, seed, start=start)
    folder = maker.trained({"counter-examples": plan}, steps)["counter-examples"]
    return {
        k: _subject(maker, folder / str(k), f"counter-examples {EXAMPLES * k}{f', order {order}' if order else ''}", seed) for k in steps
    }


def gone_on(maker: ArmMaker, seed: int, start: Path, kind: ArmKind, orders: Sequence[int]) -> list[Subject]:
    """One ordinary cycle each for several orders of the examples of an arm of this kind, all from the adapter in the folder `start`."""
    n = _examples(maker)
    plans = {
        str(order): Training(
            maker.examples(kind, seed, n), _schedule(n, NIGHTLY_STEPS, np.random.default_rng([seed, 14, order])), seed, start=start
        )
        for order in orders
    }
    folders = maker.trained(plans, [NIGHTLY_STEPS])
    return [_subject(maker, folders[str(k)] / str(NIGHTLY_STEPS), f"gone on {kind}, order {k}", seed) for k in orders]


def corrected(maker: ArmMaker, seed: int, start: Path, examples: Mapping[str, Sequence[Completion]]) -> dict[str, Subject]:
    """One short cycle of corrections for each list of examples, all from the adapter in the folder `start` and of equally many steps.

    Subjects by the names in `examples`.
    """
    plans = {
        name: Training(chosen, _schedule(len(chosen), CORRECTION_STEPS, np.random.default_rng([seed, 13])), seed, start=start)
        for name, chosen in examples.items()
    }
    folders = maker.trained(plans, [CORRECTION_STEPS])
    return {name: _subject(maker, folder / str(CORRECTION_STEPS), name, seed) for name, folder in folders.items()}
