"""Arms: subjects after a named training, made once and kept in the store.

trained learns the positive completions, opposite the negative ones, sham neutral conversations matched in number, steps,
rate and length. Subset, order and initialization all follow from the seed; smaller subsets are nested in larger ones.
Regime "stream": one pass, one example a step, adapters kept after n examples (one training, many points). Regime
"steps": the same number of steps whatever n is, which tells the number of examples from the number of steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from harness.arms.training import Training, TrainingSettings, train_adapters
from harness.data.arm import Arm, ArmKind, Regime
from harness.data.behavior import Behavior
from harness.data.subject import Subject
from harness.engines.chat import encode_prompt, encode_reply, tokenizer_of
from harness.engines.hf.engine import HFEngine
from harness.engines.protocol import Completion
from harness.store import Store, digest_of, digest_of_file
from harness.subjects.files import ADAPTER_WEIGHTS, with_adapter

TRAINED_KINDS: tuple[ArmKind, ...] = ("trained", "sham", "opposite")


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
        tokenizer = tokenizer_of(self.base)
        return len(encode_prompt(tokenizer, completion.messages).tokens), len(encode_reply(tokenizer, completion.text))

    def stream_plans(self, seed: int, n: int) -> dict[str, Training]:
        """What the streams of a seed are trained on, by kind."""
        schedule = [(i,) for i in range(n)]
        return {kind: Training(self.examples(kind, seed, n), schedule, seed) for kind in TRAINED_KINDS}

    def stream(self, kind: ArmKind, seed: int, ns: Sequence[int]) -> dict[int, Arm]:
        """One pass over max(ns) examples, an arm after each n of `ns`. The kinds of a seed are trained side by side."""
        folder = self.trained(self.stream_plans(seed, max(ns)), ns)[kind]
        return {n: self.arm(folder / str(n), kind, n, seed, n, "stream") for n in ns}

    def steps_plans(self, seed: int, ns: Sequence[int]) -> dict[tuple[ArmKind, int], Training]:
        """What the trainings of matched steps are trained on; opposite at the largest n only."""
        wanted: list[tuple[ArmKind, int]] = [("trained", n) for n in ns] + [("sham", n) for n in ns] + [("opposite", max(ns))]
        return {(kind, n): Training(self.examples(kind, seed, n), self._reshuffled(n, seed), seed) for kind, n in wanted}

    def steps(self, seed: int, ns: Sequence[int]) -> dict[tuple[ArmKind, int], Arm]:
        """`settings.steps` steps on n examples, reshuffled every pass; those with steps of one size are trained side by side."""
        plans, steps = self.steps_plans(seed, ns), self.settings.steps
        folders: dict[str, Path] = {}
        for size in sorted({len(plan.schedule[0]) for plan in plans.values()}):
            folders |= self.trained({f"{k}-{n}": plan for (k, n), plan in plans.items() if len(plan.schedule[0]) == size}, [steps])
        return {(k, n): self.arm(folders[f"{k}-{n}"] / str(steps), k, n, seed, steps, "steps") for k, n in plans}

    def _reshuffled(self, n: int, seed: int) -> list[tuple[int, ...]]:
        """Examples of every step: passes over all n of them, in a new order each."""
        rng, size = np.random.default_rng([seed, 3, n]), min(self.settings.batch, n)
        passes = -(-self.settings.steps * size // n)
        queue = [int(i) for _ in range(passes) for i in rng.permutation(n)]
        return [tuple(queue[k * size : (k + 1) * size]) for k in range(self.settings.steps)]

    def trained(self, plans: Mapping[str, Training], keep: Sequence[int]) -> dict[str, Path]:
        """Folder of every plan's adapters, one for each step of `keep`."""
        key = {
            "base": self.base.digest,
            "trainings": {
                name: digest_of([[[[(m.role, m.content) for m in e.messages], e.text] for e in plan.examples], plan.schedule, plan.seed])
                for name, plan in plans.items()
            },
            "settings": self.settings.as_key(),
            "keep": list(keep),
            "fast": self.engine.fast,
            "device": self.engine.device,
        }
        if any(plan.start for plan in plans.values()):
            key["starts"] = {name: plan.start and digest_of_file(plan.start / ADAPTER_WEIGHTS) for name, plan in plans.items()}

        def build(folder: Path) -> None:
            saving = [replace(plan, save={k: folder / name / str(k) for k in keep}) for name, plan in plans.items()]
            train_adapters(self.engine, self.base, saving, self.settings)

        folder = self.store.entry("arms", key, build)
        return {name: folder / name for name in plans}

    def arm(self, folder: Path, kind: ArmKind, n: int, seed: int, steps: int, regime: Regime) -> Arm:
        subject = with_adapter(self.base, folder, f"{self.base.name} {kind} n={n} seed={seed} {regime}")
        return Arm(subject, kind, n, seed, steps, regime)
