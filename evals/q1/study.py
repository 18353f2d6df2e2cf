"""What Q1 trains, scores, records and samples, each part when a check first needs it; everything is kept in the store. No statistics.

Knee and onset need trained and sham arms of one regime, scored. The view inside, the other regime and sampled replies cost more than that
and are made for the checks that show them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from evals.q1.design import COMPARED, KINDS, MECHANISM_SEEDS, METRIC, REGIMES, RESTS_ON, STEPS_SEEDS, STREAM_SEEDS
from evals.q1.inside import Inside, inside, recorded, stacked
from harness.data.arm import Arm, ArmKind, Regime
from harness.data.arrays import Floats, Names
from harness.data.behavior import Pair
from harness.data.errors import InputError
from harness.data.subject import Subject
from harness.experiment.lab import Lab
from harness.experiment.profile import domains_of
from harness.judges.chosen import judge_for
from harness.judges.judge import JudgeError, Label
from harness.readouts.forced_choice import ForcedChoice

Arms = Mapping[tuple[ArmKind, int], Sequence[Arm]]
"""By kind and number of examples, an arm a seed."""


@dataclass(frozen=True)
class Replies:
    """One sampled reply a pair and its label, both by arm ("base" and the kinds). Both empty where there is no judge."""

    texts: Mapping[str, Sequence[str]]
    labels: Mapping[str, Sequence[Label]]


@dataclass(frozen=True)
class Study:
    """One behavior."""

    lab: Lab

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """Test scenarios."""
        return self.lab.pairs("test")

    @cached_property
    def domains(self) -> Names:
        """[pairs]"""
        return domains_of(self.pairs)

    @property
    def most(self) -> int:
        """The largest number of examples."""
        return self.lab.doses[-1]

    @property
    def has_attention(self) -> bool:
        """Whether any layer has attention weights; without them there is no view inside."""
        return "full_attention" in self.lab.layer_kinds

    def arms(self, regime: Regime) -> Arms:
        """Arms of one regime, trained when first asked for; opposite at the most examples only."""
        return self._stream if regime == "stream" else self._steps

    @cached_property
    def _stream(self) -> Arms:
        def of_seed(seed: int) -> Mapping[tuple[ArmKind, int], Arm]:
            kinds = {kind: self.lab.arms.stream(kind, seed, self.lab.doses) for kind in KINDS}
            return {(kind, n): arm for kind, at in kinds.items() for n, arm in at.items() if kind in COMPARED or n == self.most}

        seeds = max(STREAM_SEEDS, self.lab.sizes.seeds)
        self._say(f"training, {seeds} streams of {self.most} examples")
        return self._each_seed(of_seed, seeds)

    @cached_property
    def _steps(self) -> Arms:
        self._say(f"training, matched steps, seeds: {STEPS_SEEDS}")
        return self._each_seed(lambda seed: self.lab.arms.steps(seed, self.lab.doses), STEPS_SEEDS)

    def _each_seed(self, of_seed: Callable[[int], Mapping[tuple[ArmKind, int], Arm]], count: int) -> Arms:
        """The arms of `count` seeds, the run's own first."""
        first = self.lab.settings.seed
        made = self.lab.store.in_any_order([partial(of_seed, seed) for seed in range(first, first + count)])
        return {key: [arms[key] for arms in made] for key in made[0]}

    @cached_property
    def _compared(self) -> Mapping[tuple[Regime, ArmKind, int], ForcedChoice]:
        """The part of `shifts` that effect, knee and onset rest on: trained and sham arms of one regime."""
        arms = self.arms(RESTS_ON)
        wanted = [key for key in arms if key[0] in COMPARED]
        self._say(f"scoring {sum(len(arms[key]) for key in wanted)} arms on {len(self.pairs)} scenarios")
        return {(RESTS_ON, *key): choice for key, choice in zip(wanted, self._shifts([arms[key] for key in wanted]), strict=True)}

    @cached_property
    def effects(self) -> Floats:
        """Trained minus sham in the primary metric, nats, [numbers of examples, seeds, pairs]."""
        trained, sham = ([self._compared[RESTS_ON, kind, n].metric(METRIC) for n in self.lab.doses] for kind in COMPARED)
        return np.stack(trained) - np.stack(sham)

    @cached_property
    def shifts(self) -> Mapping[tuple[Regime, ArmKind, int], ForcedChoice]:
        """Shift of the log-odds against base by regime, kind and number of examples, [seeds, pairs] in each metric: every arm."""
        known = self._compared
        arms = {(regime, *key): group for regime in REGIMES for key, group in self.arms(regime).items()}
        others = [key for key in arms if key not in known]
        self._say(f"scoring {sum(len(arms[key]) for key in others)} other arms")
        found = {**known, **dict(zip(others, self._shifts([arms[key] for key in others]), strict=True))}
        return {key: found[key] for key in arms}

    @cached_property
    def candidate_shift(self) -> Floats | None:
        """The candidate against base in the primary metric, nats, [pairs]; None without a candidate."""
        return None if self.lab.candidate is None else self.lab.shift(self.lab.candidate, self.pairs).metric(METRIC)

    @cached_property
    def inside_at_most(self) -> Mapping[ArmKind, Inside]:
        """Changes where the reply starts, at the most examples; empty where the model has no attention weights."""
        found = self._inside([(kind, self.most) for kind in KINDS])
        return {kind: one for (kind, _), one in found.items()}

    @cached_property
    def inside(self) -> Mapping[tuple[ArmKind, int], Inside]:
        """The same at every number of examples, of the first trained and sham arms."""
        return self._inside([(kind, n) for kind in COMPARED for n in self.lab.doses], MECHANISM_SEEDS)

    @cached_property
    def replies(self) -> Replies:
        """Sampled replies of base and of the first seed's arms at the most examples: shown, no check rests on them."""
        lab, arms, prompts = self.lab, self.arms(RESTS_ON), [pair.messages for pair in self.pairs]
        subjects: dict[str, Subject] = {"base": lab.base, **{kind: arms[kind, self.most][0].subject for kind in KINDS}}
        try:
            judge = judge_for(lab.settings, lab.behavior, lab.store)
            said = [partial(lab.recordings.replies, subject, prompts, lab.settings.seed) for subject in subjects.values()]
            texts = dict(zip(subjects, lab.store.in_any_order(said), strict=True))
            return Replies(texts, {name: judge.labels(prompts, said) for name, said in texts.items()})
        except (InputError, JudgeError):
            return Replies({}, {})

    def _inside(self, keys: Sequence[tuple[ArmKind, int]], seeds: int | None = None) -> dict[tuple[ArmKind, int], Inside]:
        """Of the first `seeds` arms of each key; None: of all."""
        if not self.has_attention:
            return {}
        arms = {key: self.arms(RESTS_ON)[key][:seeds] for key in keys}
        self._say(f"looking inside {sum(map(len, arms.values()))} arms")
        before = recorded(self.lab, self.lab.base, self.pairs)
        looks = [partial(inside, self.lab, before, arm.subject, self.pairs) for group in arms.values() for arm in group]
        seen = iter(self.lab.store.in_any_order(looks))
        return {key: stacked([next(seen) for _ in group]) for key, group in arms.items()}

    def _shifts(self, groups: Sequence[Sequence[Arm]]) -> list[ForcedChoice]:
        """[arms, pairs] in each metric, for each group of arms."""
        shifts = [partial(self.lab.shift, arm.subject, self.pairs) for group in groups for arm in group]
        scored = iter(self.lab.store.in_any_order(shifts))
        return [ForcedChoice.stacked([next(scored) for _ in group]) for group in groups]

    def _say(self, what: str) -> None:
        self.lab.progress(f"q1 {self.lab.behavior.name}: {what}")
