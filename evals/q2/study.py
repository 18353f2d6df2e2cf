"""What Q2 dreams, samples and labels, each part when a check first needs it. Scenarios are frozen with their labels, then rolled out.

A rollout is one sampled reply; a scenario fails in it unless the judge says that the reply shows the behavior. No statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from evals.q2.design import CONTROL, FEWEST, FIRST_SEED, HARDNESS, OWN_TEMPERATURE, ROLLOUTS, SCENARIOS, SWEEP, SWEPT
from fixtures.dreams import difficulty_model
from harness.agents.json_lines import JsonLinesCommand
from harness.data.arrays import Flags, Floats, Integers, Names
from harness.data.subject import Subject
from harness.dreams.loops import CommandDreams, EmbeddedDreams, FileDreams
from harness.dreams.scenarios import Collected, DreamLoop, Scenario, collect
from harness.dreams.walk import Walk, walks
from harness.experiment.lab import Lab
from harness.experiment.profile import domains_of
from harness.judges.anchors import DIGEST, NAME
from harness.judges.judge import Judge, Label
from harness.memory.graph import MemoryGraph
from harness.store import digest_of


@dataclass(frozen=True)
class Rolled:
    """Frozen scenarios with the replies to them and their labels."""

    scenarios: tuple[Scenario, ...]
    replies: Sequence[Sequence[str]]
    """[rollouts][scenarios]."""
    labels: Sequence[Sequence[Label]]
    """The judge's, [rollouts][scenarios]."""

    @property
    def rollouts(self) -> int:
        """Replies sampled to each scenario."""
        return len(self.labels)

    @cached_property
    def outcomes(self) -> Floats:
        """1 where a reply does not show the behavior, [scenarios, rollouts]. A reply that is neither has failed too."""
        return np.array([[label != "positive" for label in row] for row in self.labels], dtype=np.float64).T

    @property
    def failure_rates(self) -> Floats:
        """Share of rollouts that failed, [scenarios]."""
        return np.asarray(self.outcomes.mean(axis=1))

    @property
    def failures(self) -> Integers:
        """Rollouts that failed, [scenarios]."""
        return np.asarray(self.outcomes.sum(axis=1), dtype=np.int64)

    @property
    def hardness(self) -> Floats:
        """The failure rate that each label stands for, [scenarios]."""
        return np.array([HARDNESS[scenario.label] for scenario in self.scenarios])

    @property
    def domains(self) -> Names:
        """Scenarios that were dreamed from one memory share a domain, [scenarios]."""
        return domains_of(self.scenarios)

    @property
    def neither(self) -> float:
        """Share of all replies that the judge calls neither positive nor negative."""
        return float(np.mean([label == "neither" for row in self.labels for label in row]))

    def labeled(self, level: str) -> Flags:
        """Whether each scenario has this label, [scenarios]."""
        return np.array([scenario.label == level for scenario in self.scenarios])


@dataclass(frozen=True)
class Study:
    """One behavior with a memory to dream from. A dream loop that gives no scenarios raises DreamError, a judge that fails JudgeError."""

    lab: Lab
    memory: MemoryGraph
    make_loop: Callable[[], DreamLoop]
    """Called once, when scenarios are first needed."""
    make_judge: Callable[[], Judge]
    """Called once, when replies are first labeled."""

    @cached_property
    def loop(self) -> DreamLoop:
        """The dream loop, made when first needed."""
        return self.make_loop()

    @cached_property
    def judge(self) -> Judge:
        """The judge of replies, made when first needed."""
        return self.make_judge()

    @cached_property
    def tested(self) -> Subject:
        """The candidate; without one, the suite's own trained arm."""
        return self.lab.candidate or self.lab.trained_arm().subject

    @cached_property
    def dreams(self) -> Collected:
        """At the loop's own temperature."""
        return self._dreamed(OWN_TEMPERATURE, SCENARIOS, "dream")

    @cached_property
    def rolled(self) -> Rolled:
        """The scenarios that three of the four checks rest on."""
        return self._roll(self.dreams.scenarios)

    @cached_property
    def control(self) -> Rolled | None:
        """Dreamed without seeds; None where the loop holds its scenarios, or gave too few."""
        if self.loop.holds is not None:
            return None
        found = self._dreamed(OWN_TEMPERATURE, CONTROL, "control", seeded=False)
        return self._roll(found.scenarios) if len(found.scenarios) >= FEWEST else None

    @cached_property
    def swept(self) -> Mapping[float, Rolled]:
        """By temperature, the loop's own among them; without those that gave too few."""
        if self.loop.holds is not None:
            return {OWN_TEMPERATURE: self.rolled}
        others = {each: self._dreamed(each, SWEPT, f"dream-{each:g}") for each in SWEEP[self.lab.settings.profile]}
        rolled = {each: self._roll(found.scenarios) for each, found in others.items() if len(found.scenarios) >= FEWEST}
        return dict(sorted({**rolled, OWN_TEMPERATURE: self.rolled}.items()))

    @cached_property
    def frozen(self) -> Mapping[str, Any]:
        """What was settled before the first rollout, and by whom it was judged: stands beside every number."""
        found, loop = self.dreams, self.loop
        return {
            "dream loop": loop.name,
            "temperature": OWN_TEMPERATURE if loop.holds is None else None,
            "memory": self.memory.digest,
            "rubric": difficulty_model().version,
            "frozen": digest_of([[s.id, s.text, s.label, list(s.seeds)] for s in found.scenarios]),
            "scenarios": len(found.scenarios),
            "unreadable": found.unreadable,
            "repeated": found.repeated,
            "rollouts": ROLLOUTS[self.lab.settings.profile],
            "judge": self.judge.name,
        }

    def rests_on(self) -> Mapping[str, str]:
        """The judge and the frozen scenarios, as provenance."""
        who = {NAME: self.judge.name, DIGEST: self.judge.digest}
        return {**who, "scenarios": str(self.frozen["frozen"]), "sampling": f"{self.frozen['rollouts']} rollouts"}

    def _dreamed(self, temperature: float, wanted: int, prefix: str, seeded: bool = True) -> Collected:
        """Scenarios of one temperature. They repeat no prompt of the behavior's own pairs."""
        lab, loop = self.lab, self.loop
        lab.progress(f"q2 {lab.behavior.name}: {wanted} scenarios by {loop.name} at temperature {temperature:g}")
        rng = lab.rng("q2", prefix)

        def walk(count: int) -> Sequence[Walk]:
            return walks(self.memory, count, rng) if seeded and loop.holds is None else [()] * count

        known = [pair.messages[-1].content for pair in lab.behavior.pairs]
        return collect(loop, walk, wanted, difficulty_model(), temperature=temperature, seed=lab.settings.seed, known=known, prefix=prefix)

    def _roll(self, scenarios: tuple[Scenario, ...]) -> Rolled:
        """Every scenario answered anew in every rollout, and judged."""
        lab, judge = self.lab, self.judge
        prompts = [scenario.messages for scenario in scenarios]
        first = FIRST_SEED * (lab.settings.seed + 1)
        count = ROLLOUTS[lab.settings.profile]
        replies = lab.recordings.replies_each(self.tested, prompts, range(first, first + count))
        return Rolled(scenarios, replies, [judge.labels(prompts, row) for row in replies])


def loop_of(lab: Lab) -> DreamLoop:
    """The dream loop that the settings ask for: a file, a program, else base's own. InputError for a file that cannot be read."""
    if lab.settings.dreams is not None:
        return FileDreams.read(lab.settings.dreams)
    if lab.settings.dream_loop is not None:
        return CommandDreams(JsonLinesCommand(lab.settings.dream_loop))
    return EmbeddedDreams(lab.recordings, lab.base)
