"""What Q1 trains, scores, records and samples, each part when a check first needs it; everything is kept in the store. No statistics.

Knee and onset need trained and sham arms of one regime, scored. The view inside, the other regime and sampled replies cost more than that
and are made for the checks that show them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from evals.q1.design import COMPARED, KINDS, METRIC, REGIMES, RESTS_ON
from evals.q1.inside import Inside, inside, recorded
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
        arms: dict[tuple[ArmKind, int], list[Arm]] = {}
        for seed in self.lab.seeds:
            self._say(f"training, seed {seed}, stream of {self.most} examples")
            for kind in KINDS:
                for n, arm in self.lab.arms.stream(kind, seed, self.lab.doses).items():
                    if kind in COMPARED or n == self.most:
                        arms.setdefault((kind, n), []).append(arm)
        return arms

    @cached_property
    def _steps(self) -> Arms:
        arms: dict[tuple[ArmKind, int], list[Arm]] = {}
        for seed in self.lab.seeds:
            self._say(f"training, seed {seed}, matched steps")
            for key, arm in self.lab.arms.steps(seed, self.lab.doses).items():
                arms.setdefault(key, []).append(arm)
        return arms

    @cached_property
    def _compared(self) -> Mapping[tuple[Regime, ArmKind, int], ForcedChoice]:
        """The part of `shifts` that effect, knee and onset rest on: trained and sham arms of one regime."""
        arms = self.arms(RESTS_ON)
        wanted = [key for key in arms if key[0] in COMPARED]
        self._say(f"scoring {sum(len(arms[key]) for key in wanted)} arms on {len(self.pairs)} scenarios")
        return {(RESTS_ON, kind, n): self._shift(arms[kind, n]) for kind, n in wanted}

    @cached_property
    def effects(self) -> Floats:
        """Trained minus sham in the primary metric, nats, [numbers of examples, seeds, pairs]."""
        trained, sham = ([self._compared[RESTS_ON, kind, n].metric(METRIC) for n in self.lab.doses] for kind in COMPARED)
        return np.stack(trained) - np.stack(sham)

    @cached_property
    def shifts(self) -> Mapping[tuple[Regime, ArmKind, int], ForcedChoice]:
        """Shift of the log-odds against base by regime, kind and number of examples, [seeds, pairs] in each metric: every arm."""
        known, found = self._compared, dict[tuple[Regime, ArmKind, int], ForcedChoice]()
        for regime in REGIMES:
            arms = self.arms(regime)
            self._say(f"scoring the other arms, {regime}")
            for (kind, n), group in arms.items():
                key = (regime, kind, n)
                found[key] = known[key] if key in known else self._shift(group)
        return found

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
        """The same at every number of examples, of trained and sham arms."""
        known = {(kind, self.most): one for kind, one in self.inside_at_most.items() if kind in COMPARED}
        return {**self._inside([(kind, n) for kind in COMPARED for n in self.lab.doses if n != self.most]), **known}

    @cached_property
    def replies(self) -> Replies:
        """Sampled replies of base and of the first seed's arms at the most examples: shown, no check rests on them."""
        lab, arms, prompts = self.lab, self.arms(RESTS_ON), [pair.messages for pair in self.pairs]
        subjects: dict[str, Subject] = {"base": lab.base, **{kind: arms[kind, self.most][0].subject for kind in KINDS}}
        try:
            judge = judge_for(lab.settings, lab.behavior, lab.store)
            texts = {name: lab.recordings.replies(subject, prompts, lab.settings.seed) for name, subject in subjects.items()}
            return Replies(texts, {name: judge.labels(prompts, said) for name, said in texts.items()})
        except (InputError, JudgeError):
            return Replies({}, {})

    def _inside(self, keys: Sequence[tuple[ArmKind, int]]) -> dict[tuple[ArmKind, int], Inside]:
        if not self.has_attention:
            return {}
        arms = self.arms(RESTS_ON)
        self._say(f"looking inside {sum(len(arms[key]) for key in keys)} arms")
        before = recorded(self.lab, self.lab.base, self.pairs)
        return {key: inside(self.lab, before, [arm.subject for arm in arms[key]], self.pairs) for key in keys}

    def _shift(self, arms: Sequence[Arm]) -> ForcedChoice:
        """[arms, pairs] in each metric."""
        return ForcedChoice.stacked([self.lab.shift(arm.subject, self.pairs) for arm in arms])

    def _say(self, what: str) -> None:
        self.lab.progress(f"q1 {self.lab.behavior.name}: {what}")
