"""What Q3 trains, records and patches, each part when a check first needs it; everything is kept in the store. No statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property

import numpy as np

from evals.q3.design import COMPARED, CONVERSATIONS, LADDER_SEEDS, RANKS
from evals.q3.heads import Head, as_set, distances, heads_of, recorded, row_distances
from evals.q3.patching import Patching, patch
from harness.arms.ladder import Rung, in_shape_of, sham_sized_each
from harness.arms.maker import TRAINED_KINDS, ArmMaker
from harness.data.arrays import Floats, Names
from harness.data.behavior import Pair
from harness.data.subject import Subject
from harness.engines.protocol import Recorded
from harness.experiment.lab import Lab
from harness.experiment.profile import across_domains, domains_of
from harness.readouts.forced_choice import PRIMARY
from harness.readouts.weight_change import MatrixChange, weight_changes


@dataclass(frozen=True)
class Study:
    """One behavior; all log-odds in units of the primary metric."""

    lab: Lab

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """Test scenarios, spread over the domains."""
        return across_domains(self.lab.pairs("test"), CONVERSATIONS)

    @cached_property
    def domains(self) -> Names:
        """[pairs]"""
        return domains_of(self.pairs)

    @cached_property
    def subjects(self) -> tuple[Subject, ...]:
        """The candidate alone; without one, the suite's own trainings, one a seed: Q1's arms."""
        lab = self.lab
        if lab.candidate is not None:
            return (lab.candidate,)
        return tuple(lab.arms.stream("trained", seed, lab.doses)[lab.doses[-1]].subject for seed in lab.seeds)

    @property
    def subject(self) -> Subject:
        """The first of them, which is shown where one is enough."""
        return self.subjects[0]

    @cached_property
    def before(self) -> list[Recorded]:
        """Base on every pair."""
        self._say(f"heads in {len(self.pairs)} conversations")
        return recorded(self.lab, self.lab.base, self.pairs)

    @cached_property
    def heads(self) -> tuple[Head, ...]:
        """Every head of the model, layer by layer."""
        return heads_of(self.lab, self.before[0])

    @cached_property
    def layers(self) -> tuple[int, ...]:
        """Indices of the layers that have heads, rising."""
        return tuple(sorted({head.layer for head in self.heads}))

    @cached_property
    def distances(self) -> Floats:
        """Relative change of what every head says, [subjects, pairs, heads]."""
        return np.stack([distances(self.before, recorded(self.lab, one, self.pairs), self.heads) for one in self.subjects])

    @cached_property
    def own(self) -> Floats:
        """The same with every layer fed base's residual stream, [subjects, pairs, heads]: the change by the layer's own weights."""
        return np.stack([self._own_change(one) for one in self.subjects])

    @cached_property
    def rows(self) -> Mapping[str, Floats]:
        """The first subject's distances of attention rows, [pairs, attention heads], each with and without the sink column."""
        return row_distances(self.before, recorded(self.lab, self.subject, self.pairs))

    @cached_property
    def effect(self) -> Floats:
        """Subjects minus base, [subjects, pairs]."""
        return np.stack([self.lab.shift(one, self.pairs).metric(PRIMARY) for one in self.subjects])

    @cached_property
    def whole(self) -> Floats:
        """All heads put into base, [subjects, pairs]."""
        return np.asarray(self._into_base([self.heads])[0])

    @cached_property
    def patching(self) -> Patching:
        """Heads of one model put into the other, ranked by `own`."""
        own = self.own
        self._say("patching")
        return patch(self.lab, self.subjects, self.pairs, self.heads, own)

    @cached_property
    def by_layer(self) -> Floats:
        """All heads of one layer put into base, [layers, subjects, pairs]."""
        return self._into_base([[head for head in self.heads if head.layer == layer] for layer in self.layers])

    @cached_property
    def _shaped(self) -> tuple[ArmMaker, str]:
        return in_shape_of(self.lab.arms, self.lab.candidate)

    @property
    def shape(self) -> str:
        """In which shape (modules and rank) the shams were trained, in words."""
        return self._shaped[1]

    @cached_property
    def rungs(self) -> Sequence[Rung]:
        """For each seed the sham training that changed the heads as much as that seed's subject did, or came nearest to it."""
        lab, sizes_of = self.lab, self.distances.mean(axis=(1, 2))
        self._say("the sham ladder")
        seeds = tuple(range(lab.settings.seed, lab.settings.seed + max(LADDER_SEEDS, lab.sizes.seeds)))
        wanted = {seed: float(sizes_of[min(i, len(sizes_of) - 1)]) for i, seed in enumerate(lab.seeds)}  # a candidate's for every seed
        sizes: dict[str, float] = {}

        def size(sham: Subject) -> float:
            if sham.digest not in sizes:
                sizes[sham.digest] = float(distances(self.before, recorded(lab, sham, self.pairs), self.heads).mean())
            return sizes[sham.digest]

        return sham_sized_each(self._shaped[0], seeds, wanted, size)

    @cached_property
    def sham_own(self) -> Sequence[Floats]:
        """`own` of every rung's sham, [pairs, heads] each."""
        return [self._own_change(rung.arm.subject) for rung in self.rungs]

    @cached_property
    def weights(self) -> Sequence[MatrixChange]:
        """Size and stable rank of every changed weight matrix of the first subject."""
        base, subject = self.lab.base, self.subject
        key = {"base": base.digest, "subject": subject.digest}
        rows = self.lab.store.json("weight-changes", key, lambda: [asdict(change) for change in weight_changes(base, subject)])
        return [MatrixChange(**row) for row in rows]

    @cached_property
    def ranks(self) -> Mapping[int, Floats]:
        """Trained minus sham by LoRA rank, [seeds, pairs]: the suite's own trainings on the stream of the most examples."""
        lab = self.lab
        self._say("ranks")
        last, own = lab.doses[-1], lab.arms.settings
        effects = {}
        for rank in (*RANKS[lab.settings.profile], own.rank):
            scale = own.alpha / own.rank
            maker = replace(lab.arms, settings=replace(own, rank=rank, alpha=round(scale * rank))) if rank != own.rank else lab.arms
            if rank == own.rank:  # Q1's arms
                doses, kinds = lab.doses, TRAINED_KINDS
            else:
                doses, kinds = (last,), COMPARED
            shifts = [
                lab.shift(maker.stream("trained", seed, doses, kinds)[last].subject, self.pairs).metric(PRIMARY)
                - lab.shift(maker.stream("sham", seed, doses, kinds)[last].subject, self.pairs).metric(PRIMARY)
                for seed in lab.seeds
            ]
            effects[rank] = np.stack(shifts)
        return effects

    def _into_base(self, chosen: Sequence[Sequence[Head]]) -> Floats:
        """What each set of heads brings to base, [sets, subjects, pairs]."""
        self._say(f"patching {len(chosen)} sets of heads, {len(self.subjects)} subjects")
        recordings, base, sets = self.lab.recordings, self.lab.base, [as_set(heads) for heads in chosen]
        plain = recordings.forced_choice(base, self.pairs)
        patched = [recordings.patched_heads(base, one, self.pairs, sets) for one in self.subjects]
        return np.stack([[choice.above(plain).metric(PRIMARY) for choice in each] for each in patched], axis=1)

    def _own_change(self, subject: Subject) -> Floats:
        return distances(self.before, recorded(self.lab, subject, self.pairs, own=True), self.heads)

    def _say(self, what: str) -> None:
        self.lab.progress(f"q3 {self.lab.behavior.name}: {what}")
