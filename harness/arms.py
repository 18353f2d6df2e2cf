"""Arms: subjects after a named training, made once and kept in the store.

trained learns the positive completions, opposite the negative ones, sham neutral conversations matched in number, steps,
rate and length. Subset, order and initialization all follow from the seed; smaller subsets are nested in larger ones.
Regime "stream": one pass, one example a step, adapters kept after n examples (one training, many points). Regime
"steps": the same number of steps whatever n is, which tells the number of examples from the number of steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.data.arm import Arm, ArmKind, Regime
from harness.data.behavior import Behavior
from harness.data.subject import Subject
from harness.engines.chat import encode_prompt, encode_reply
from harness.engines.hf import HFEngine
from harness.engines.protocol import Completion
from harness.store import Store, digest_of
from harness.subject_files import with_adapter
from harness.training import TrainingSettings, train_adapters


@dataclass(frozen=True)
class ArmMaker:
    """Makes arms of one base and one behavior. `neutral` is what sham arms are trained on."""

    engine: HFEngine
    store: Store
    base: Subject
    behavior: Behavior
    neutral: tuple[Completion, ...]
    settings: TrainingSettings

    def base_arm(self) -> Arm:
        return Arm(self.base, "base")

    def examples(self, kind: ArmKind, seed: int, n: int) -> list[Completion]:
        """The first n examples of this seed's order; sham examples are matched to the trained ones in length."""
        pairs = self.behavior.split("train")
        if n > len(pairs):
            raise ValueError(f"{n} examples asked, the train split of {self.behavior.name} has {len(pairs)}")
        order = np.random.default_rng([seed, 1]).permutation(len(pairs))[:n]
        trained = [Completion(pairs[i].messages, pairs[i].negative if kind == "opposite" else pairs[i].positive) for i in order]
        return self._matched_neutral(trained, seed) if kind == "sham" else trained

    def _matched_neutral(self, trained: Sequence[Completion], seed: int) -> list[Completion]:
        """For each example in turn the unused neutral conversation nearest in reply and prompt length; ties by seed."""
        if len(trained) > len(self.neutral):
            raise ValueError(f"{len(trained)} neutral examples asked, the corpus has {len(self.neutral)}")
        shuffled = [self.neutral[i] for i in np.random.default_rng([seed, 2]).permutation(len(self.neutral))]
        lengths = np.array([self._length(one) for one in shuffled], dtype=float)
        free = np.ones(len(shuffled), dtype=bool)
        chosen = []
        for example in trained:
            distance = np.abs(lengths - self._length(example)) @ np.array([0.25, 1.0])
            distance[~free] = np.inf
            nearest = int(distance.argmin())
            free[nearest] = False
            chosen.append(shuffled[nearest])
        return chosen

    def _length(self, completion: Completion) -> tuple[int, int]:
        tokenizer = self.engine.tokenizer(self.base)
        return len(encode_prompt(tokenizer, completion.messages).tokens), len(encode_reply(tokenizer, completion.text))

    def stream(self, kind: ArmKind, seed: int, ns: Sequence[int]) -> dict[int, Arm]:
        """One pass over max(ns) examples, an arm after each n of `ns`."""
        examples = self.examples(kind, seed, max(ns))
        schedule = [(i,) for i in range(max(ns))]
        folders = self._trained(kind, seed, examples, schedule, ns)
        return {n: self._arm(folders[n], kind, n, seed, n, "stream") for n in ns}

    def steps(self, kind: ArmKind, n: int, seed: int) -> Arm:
        """`settings.steps` steps on n examples, reshuffled every pass."""
        examples = self.examples(kind, seed, n)
        rng = np.random.default_rng([seed, 3, n])
        size = min(self.settings.batch, n)
        queue: list[int] = []
        schedule = []
        for _ in range(self.settings.steps):
            while len(queue) < size:
                queue.extend(int(i) for i in rng.permutation(n))
            schedule.append(tuple(queue[:size]))
            queue = queue[size:]
        folder = self._trained(kind, seed, examples, schedule, [self.settings.steps])[self.settings.steps]
        return self._arm(folder, kind, n, seed, self.settings.steps, "steps")

    def _trained(
        self, kind: ArmKind, seed: int, examples: Sequence[Completion], schedule: Sequence[Sequence[int]], keep: Sequence[int]
    ) -> dict[int, Path]:
        key = {
            "base": self.base.digest,
            "examples": digest_of([[[(m.role, m.content) for m in e.messages], e.text] for e in examples]),
            "schedule": digest_of(schedule),
            "settings": self.settings.as_key(),
            "seed": seed,
            "keep": list(keep),
            "fast": self.engine.fast,
            "device": self.engine.device,
        }

        def build(folder: Path) -> None:
            train_adapters(self.engine, self.base, examples, schedule, self.settings, seed, {k: folder / str(k) for k in keep})

        folder = self.store.entry("arms", key, build)
        return {k: folder / str(k) for k in keep}

    def _arm(self, folder: Path, kind: ArmKind, n: int, seed: int, steps: int, regime: Regime) -> Arm:
        subject = with_adapter(self.base, folder, f"{self.base.name} {kind} n={n} seed={seed} {regime}")
        return Arm(subject, kind, n, seed, steps, regime)
