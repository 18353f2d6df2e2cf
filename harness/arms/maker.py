"""Makes arms: subjects after a named training, trained once and kept in the store.

A trained arm learns positive completions, an opposite arm negative ones, a sham arm neutral conversations matched to the trained arm's
examples in number, steps, learning rate and length. Subset, order and initialization follow from the seed; smaller subsets are nested in
larger ones. Regime "stream": one pass, one example a step, an adapter kept after each n of several (one training, many points). Regime
"steps": the same number of steps for every n, which separates the effect of the number of examples from that of the number of steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from harness.arms.plans import Training, TrainingSettings
from harness.data.arm import Arm, ArmKind, Regime
from harness.data.behavior import Behavior
from harness.data.subject import Subject
from harness.engines.chat import encode_prompt, encode_reply, tokenizer_of
from harness.engines.hf.engine import HFEngine
from harness.engines.protocol import Completion
from harness.process.freed_memory import give_back
from harness.store import Store, digest_of
from harness.subjects.files import ADAPTER_WEIGHTS, with_adapter

TRAINED_KINDS: tuple[ArmKind, ...] = ("trained", "sham", "opposite")
"""The kinds that a seed's streams train side by side."""


@dataclass(frozen=True)
class ArmMaker:
    """Makes the arms of one base and one behavior."""

    engine: HFEngine
    """Trains the adapters."""
    store: Store
    """Keeps the adapters."""
    base: Subject
    behavior: Behavior
    """Its train pairs are the examples."""
    neutral: tuple[Completion, ...]
    """Conversations that sham arms are trained on."""
    settings: TrainingSettings

    def examples(self, kind: ArmKind, seed: int, n: int) -> list[Completion]:
        """The first n examples in this seed's order, for an arm of this kind. Sham examples are matched to the trained ones in length.

        ValueError where the behavior has fewer train pairs, or the corpus fewer neutral conversations.
        """
        pairs = self.behavior.split("train")
        if n > len(pairs):
            raise ValueError(f"{n} examples asked, the train split of {self.behavior.name} has {len(pairs)}")
        order = np.random.default_rng([seed, 1]).permutation(len(pairs))[:n]
        trained = [Completion(pairs[i].messages, pairs[i].negative if kind == "opposite" else pairs[i].positive) for i in order]
        return self._matched_neutral(trained, seed) if kind == "sham" else trained

    def _matched_neutral(self, trained: Sequence[Completion], seed: int) -> list[Completion]:
        """For each example in turn the unused neutral conversation that is nearest in length.

        A token of the reply counts as much as four of the prompt. The seed decides between equally near conversations.
        """
        if len(trained) > len(self.neutral):
            raise ValueError(f"{len(trained)} neutral examples asked, the corpus has {len(self.neutral)}")
        shuffled = [self.neutral[i] for i in np.random.default_rng([seed, 2]).permutation(len(self.neutral))]
        lengths = np.array([self._lengths[one] for one in shuffled], dtype=float)
        free = np.ones(len(shuffled), dtype=bool)
        chosen = []
        for example in trained:
            distance = np.abs(lengths - self._lengths[example]) @ np.array([0.25, 1.0])
            distance[~free] = np.inf
            nearest = int(distance.argmin())
            free[nearest] = False
            chosen.append(shuffled[nearest])
        return chosen

    @cached_property
    def _lengths(self) -> Mapping[Completion, tuple[int, int]]:
        """Tokens of prompt and reply, of neutral conversations and positive examples; stored, because a tokenizer takes seconds to load."""
        every = [*self.neutral, *(Completion(pair.messages, pair.positive) for pair in self.behavior.split("train"))]

        def measured() -> list[tuple[int, int]]:
            tokenizer = tokenizer_of(self.base)
            return [(len(encode_prompt(tokenizer, one.messages).tokens), len(encode_reply(tokenizer, one.text))) for one in every]

        key = {"base": self.base.base_digest, "completions": digest_of(_content(every))}
        return dict(zip(every, map(tuple, self.store.json("lengths", key, measured)), strict=True))

    def stream_plans(self, seed: int, n: int, kinds: Sequence[ArmKind] = TRAINED_KINDS) -> dict[str, Training]:
        """The trainings of a seed's streams of n examples, by kind."""
        schedule = [(i,) for i in range(n)]
        return {kind: Training(self.examples(kind, seed, n), schedule, seed) for kind in kinds}

    def stream(self, kind: ArmKind, seed: int, ns: Sequence[int], kinds: Sequence[ArmKind] = TRAINED_KINDS) -> dict[int, Arm]:
        """The arms of a stream after each n of `ns` examples, by n. The `kinds` of a seed are trained together, whichever is asked for."""
        folder = self.trained(self.stream_plans(seed, max(ns), kinds), ns)[kind]
        return {n: self.arm(folder / str(n), kind, n, seed, n, "stream") for n in ns}

    def steps_plans(self, seed: int, ns: Sequence[int]) -> dict[tuple[ArmKind, int], Training]:
        """The trainings with equally many steps, by kind and n; opposite only for the largest n."""
        wanted: list[tuple[ArmKind, int]] = [("trained", n) for n in ns] + [("sham", n) for n in ns] + [("opposite", max(ns))]
        return {(kind, n): Training(self.examples(kind, seed, n), self._reshuffled(n, seed), seed) for kind, n in wanted}

    def steps(self, seed: int, ns: Sequence[int]) -> dict[tuple[ArmKind, int], Arm]:
        """The arms after `settings.steps` steps on n examples, by kind and n; every pass over the examples has a new order.

        The kinds of equally many examples are trained side by side.
        """
        plans, steps = self.steps_plans(seed, ns), self.settings.steps

        def group(n: int) -> dict[str, Path]:
            return self.trained({f"{k}-{m}": plan for (k, m), plan in plans.items() if m == n}, [steps])

        folders = {name: folder for made in self.store.in_any_order([partial(group, n) for n in ns]) for name, folder in made.items()}
        return {(k, n): self.arm(folders[f"{k}-{n}"] / str(steps), k, n, seed, steps, "steps") for k, n in plans}

    def _reshuffled(self, n: int, seed: int) -> list[tuple[int, ...]]:
        """Which of n examples every step sees: passes over all of them, each in a new order."""
        rng, size = np.random.default_rng([seed, 3, n]), min(self.settings.batch, n)
        passes = -(-self.settings.steps * size // n)
        queue = [int(i) for _ in range(passes) for i in rng.permutation(n)]
        return [tuple(queue[k * size : (k + 1) * size]) for k in range(self.settings.steps)]

    def trained(self, plans: Mapping[str, Training], keep: Sequence[int]) -> dict[str, Path]:
        """A folder for each training by its name, with an adapter in a folder of its own after each number of steps in `keep`.

        Trained once; the key names base, examples, schedules, settings, numerics and the adapters that the trainings start from.
        """
        key = {
            "base": self.base.digest,
            "trainings": {name: digest_of([_content(plan.examples), plan.schedule, plan.seed]) for name, plan in plans.items()},
            "settings": self.settings.as_key(),
            "keep": list(keep),
            "numerics": self.engine.numerics,
        }
        if any(plan.start for plan in plans.values()):
            key["starts"] = {name: plan.start and self.store.digest(plan.start / ADAPTER_WEIGHTS) for name, plan in plans.items()}

        def build(folder: Path) -> None:
            from harness.arms.training import train_adapters  # here: it loads torch, and a stored arm needs none

            saving = [replace(plan, save={k: folder / name / str(k) for k in keep}) for name, plan in plans.items()]
            train_adapters(self.engine, self.base, saving, self.settings)
            give_back()  # many rows side by side need several times what anything else does

        folder = self.store.entry("arms", key, build)
        return {name: folder / name for name in plans}

    def arm(self, folder: Path, kind: ArmKind, n: int, seed: int, steps: int, regime: Regime) -> Arm:
        """The arm whose adapter is in a folder."""
        subject = with_adapter(self.base, folder, f"{self.base.name} {kind} n={n} seed={seed} {regime}", self.store.digest)
        return Arm(subject, kind, n, seed, steps, regime)


def _content(completions: Sequence[Completion]) -> list[Any]:
    """Completions as part of a key."""
    return [[[(m.role, m.content) for m in one.messages], one.text] for one in completions]
