"""What Q7 trains, reads and patches, each part when a check first needs it; everything is kept in the store. No statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from evals.q7.conversations import Conversations, gather
from evals.q7.design import ADAPTERS, DIRECTIONS, RANKED
from evals.q7.groups import Group
from fixtures import corpora
from harness.arms.ladder import Rung, in_shape_of, sham_sized_each
from harness.arms.maker import ArmMaker
from harness.data.arm import ArmKind
from harness.data.arrays import Names
from harness.data.behavior import Pair
from harness.data.subject import Subject
from harness.experiment.lab import Lab
from harness.experiment.profile import across_domains, domains_of
from harness.readouts.state_geometry import StateSpace


@dataclass(frozen=True)
class Study:
    """One behavior on a model with Gated DeltaNet layers."""

    lab: Lab

    @cached_property
    def conversations(self) -> Conversations:
        """The conversations whose states are compared."""
        return gather(self.lab)

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """Test scenarios for state patching."""
        return across_domains(self.lab.pairs("test"), DIRECTIONS)

    @cached_property
    def domains(self) -> Names:
        """[pairs]"""
        return domains_of(self.pairs)

    @cached_property
    def space(self) -> StateSpace:
        """States of all Gated DeltaNet layers, centered on base's in neutral conversations."""
        layers = tuple(i for i, kind in enumerate(self.lab.layer_kinds) if kind == "linear_attention")
        neutral = tuple(one.messages for one in corpora.neutral()[:DIRECTIONS])
        return StateSpace(self.lab.recordings, self.lab.base, neutral, layers)

    @cached_property
    def base(self) -> Group:
        """The base model alone."""
        return self._group("base", (self.lab.base,))

    @cached_property
    def trained(self) -> Group:
        """The candidate; without one, the suite's own trainings, one a seed."""
        candidate = self.lab.candidate
        return self._group("trained", self._arms("trained") if candidate is None else (candidate,))

    @cached_property
    def opposite(self) -> Group | None:
        """Trainings on the negative completions, one a seed; None beside a candidate."""
        return None if self.lab.candidate is not None else self._group("opposite", self._arms("opposite"))

    @cached_property
    def sham(self) -> Group:
        """For each seed the sham training that changed the states as much as the training did, or came nearest to it."""
        return self._group("sham", tuple(rung.arm.subject for rung in self.rungs))

    @property
    def groups(self) -> Mapping[str, Group]:
        """Every kind there is, by name."""
        found = (self.base, self.trained, self.opposite, self.sham)
        return {group.kind: group for group in found if group is not None}

    @cached_property
    def rungs(self) -> Sequence[Rung]:
        """The rung of each seed's sham ladder that `sham` is made of."""
        changes, texts = self.trained.changes, self.conversations.sized_on
        self._say(f"the sham ladder, {len(self.seeds)} seeds")
        wanted = {seed: changes[min(i, len(changes) - 1)] for i, seed in enumerate(self.seeds)}  # a candidate's for every seed
        return sham_sized_each(self._shaped[0], self.seeds, wanted, lambda sham: self.space.change(sham, texts))

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of the trainings of each kind."""
        ranked = self.lab.candidate is not None and self.lab.settings.profile == "full"
        first, count = self.lab.settings.seed, RANKED if ranked else max(ADAPTERS, self.lab.sizes.seeds)
        return tuple(range(first, first + count))

    @property
    def shape(self) -> str:
        """In which shape (modules and rank) the shams were trained, in words."""
        return self._shaped[1]

    @cached_property
    def _shaped(self) -> tuple[ArmMaker, str]:
        return in_shape_of(self.lab.arms, self.lab.candidate)

    def _arms(self, kind: ArmKind) -> tuple[Subject, ...]:
        """The suite's own trainings of one kind on the most examples, one a seed."""
        lab, found = self.lab, []
        for seed in self.seeds:
            self._say(f"training {kind}, seed {seed}")
            found.append(self._shaped[0].stream(kind, seed, lab.doses)[lab.doses[-1]].subject)
        return tuple(found)

    def _group(self, kind: ArmKind, subjects: tuple[Subject, ...]) -> Group:
        return Group(self.lab, kind, subjects, self.space, self.conversations, self.pairs)

    def _say(self, what: str) -> None:
        self.lab.progress(f"q7 {self.lab.behavior.name}: {what}")
