"""What Q6 trains, scores and samples, each part when a check first needs it; everything is kept in the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from evals.q6.ability import replies
from evals.q6.cells import Cell, kept, outside_cells, tasks_of
from evals.q6.change import ScoredPart, scored, state_of
from evals.q6.design import PARTS, Part, State
from evals.q6.general_mix import Mixed, search
from harness.analysis.code_quality import mean_index
from harness.data.arm import ArmKind
from harness.data.subject import Subject
from harness.experiment.lab import Lab
from harness.tasks.answers import code_in
from harness.tasks.lm_eval_results import read_paired


@dataclass(frozen=True)
class Quality:
    """Static quality index of the code that was written, from 0 to 1."""

    before: float
    after: float


@dataclass(frozen=True)
class Study:
    """One behavior's training: base, the tested subject and sham on what no training touched."""

    lab: Lab

    @cached_property
    def tested(self) -> tuple[Subject, ...]:
        """The candidate; without one, the suite's own trained arm under every seed."""
        return (self.lab.candidate,) if self.lab.candidate else self._arms("trained")

    @cached_property
    def sham(self) -> tuple[Subject, ...]:
        """The suite's sham arm under the run's seed; without a candidate under every seed."""
        return self._arms("sham")[: len(self.tested)]

    def _arms(self, kind: ArmKind) -> tuple[Subject, ...]:
        lab = self.lab
        return tuple(lab.arms.stream(kind, seed, lab.doses)[lab.doses[-1]].subject for seed in lab.seeds)

    @cached_property
    def prose(self) -> ScoredPart:
        """Bits per byte of the prose corpus."""
        return scored(self.lab, "prose", self.tested, self.sham)

    @cached_property
    def code(self) -> ScoredPart:
        """Python functions run against hidden tests."""
        return scored(self.lab, "code", self.tested, self.sham)

    @cached_property
    def reasoning(self) -> ScoredPart:
        """Questions with a short answer."""
        return scored(self.lab, "reasoning", self.tested, self.sham)

    @cached_property
    def outside(self) -> tuple[Cell, ...]:
        """What lm-evaluation-harness measured before and after (--lm-eval); empty where that was not given."""
        results = self.lab.settings.lm_eval
        return tuple(outside_cells(read_paired(*results))) if results else ()

    @property
    def parts(self) -> Mapping[Part, ScoredPart]:
        """Every part that has a gate, scored."""
        return {"prose": self.prose, "code": self.code, "reasoning": self.reasoning}

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All cells of all parts, then those of lm-evaluation-harness."""
        parts = self.parts
        return (*(cell for part in PARTS for cell in parts[part].cells), *self.outside)

    @cached_property
    def quality(self) -> Quality | None:
        """Over the code tiers that are not left out, the first sample of each task; None where all are left out."""
        groups = [tasks_of("code")[cell.name] for cell in kept(self.code.cells)]
        if not groups:
            return None
        written = (
            [code_in(text) for group in groups for text in replies(self.lab, one, group, 1)[0]] for one in (self.lab.base, self.tested[0])
        )
        return Quality(*map(mean_index, written))

    @cached_property
    def mixes(self) -> tuple[Mixed, ...]:
        """The shares of general data that were tried; empty where no harm was shown. Asks for all parts, and may train."""
        return search(self.lab, self.parts)

    @property
    def states(self) -> Mapping[Part, State | None]:
        """Where every gate stands; None where it does not apply, or has no estimate."""
        return {part: state_of(self.lab, part, one.change) for part, one in self.parts.items()}
