"""What Q4 trains, samples and asks its agents, each part when a check first needs it. No statistics.

Trainings, replies and recordings are kept in the store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from harness.agents.agent import Conversation, SurfaceObserve, TrainingSignal
from harness.arms.cycles import Cycles, counter_examples, cycles, healthy
from harness.arms.doses import EXAMPLES
from harness.data.arrays import Flags, Floats, Names
from harness.data.behavior import Pair
from harness.data.subject import Subject
from harness.experiment.lab import Lab
from harness.experiment.profile import domains_of
from harness.judges.judge import Judge
from harness.memory.graph import MemoryGraph
from harness.readouts.forced_choice import PRIMARY


@dataclass(frozen=True)
class Study:
    """One behavior and the agents that watch its conversations.

    Agents are made when first asked for, so that one that cannot be made takes only its own checks along.
    """

    lab: Lab
    memory: MemoryGraph
    surface: Callable[[], SurfaceObserve]
    """surface-observe; AgentError where it cannot be made."""
    signal: Callable[[], TrainingSignal]
    """training-signal; AgentError or JudgeError where it cannot be made."""
    judge: Callable[[], Judge]
    """The judge of replies; JudgeError where it cannot be made."""

    @property
    def flagged_by(self) -> Mapping[str, str]:
        """Who flags replies, as provenance. AgentError or JudgeError where training-signal cannot be made."""
        return {"training-signal": self.signal().name}

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """Test scenarios of the profile."""
        return self.lab.pairs("test")

    @cached_property
    def every_pair(self) -> tuple[Pair, ...]:
        """All test scenarios, whatever the profile: the gates are cheap, and what they must tell apart is small."""
        return self.lab.behavior.split("test")

    @cached_property
    def domains(self) -> Names:
        """Domains of `pairs`, [pairs]."""
        return domains_of(self.pairs)

    @cached_property
    def cycles(self) -> Cycles:
        """The healthy adapter and what was trained on from it, by dose."""
        self.say("healthy, further, degraded and sham cycles")
        return cycles(self.lab.arms, self.lab.settings.seed)

    @cached_property
    def trainings(self) -> tuple[tuple[Subject, Subject], ...]:
        """The healthy adapter and the most degraded one under every seed, the run's own first: what a claim about training rests on."""
        arms, (_, *others) = self.lab.arms, self.lab.seeds
        last = self.most // EXAMPLES

        def under(seed: int) -> tuple[Subject, Subject]:
            return healthy(arms, seed)[0], counter_examples(arms, seed, (last,))[last]

        more = self.lab.each(under, others)
        return ((self.healthy, self.degraded), *more)

    @property
    def healthy(self) -> Subject:
        """The suite's own adapter, trained until the behavior is learned."""
        return self.cycles.healthy

    @property
    def most(self) -> int:
        """The highest dose: counter-examples that the most degraded adapter was trained on."""
        return max(self.cycles.degraded)

    @property
    def degraded(self) -> Subject:
        """The healthy adapter after the highest dose of counter-examples."""
        return self.cycles.degraded[self.most]

    def by_dose(self) -> dict[int, Subject]:
        """The healthy adapter (dose 0) and the degraded ones, by number of counter-examples."""
        return {0: self.healthy, **self.cycles.degraded}

    def shift(self, subject: Subject) -> Floats:
        """Log-odds above base's, nats, [pairs]."""
        return self.lab.shift(subject, self.pairs).metric(PRIMARY)

    def conversations(self, subject: Subject, pairs: Sequence[Pair], seed: int) -> list[Conversation]:
        """One sampled reply to every pair's messages."""
        return self.conversations_each(subject, pairs, (seed,))[0]

    def conversations_each(self, subject: Subject, pairs: Sequence[Pair], seeds: Sequence[int]) -> list[list[Conversation]]:
        """One sampled reply to every pair's messages under each seed, [seeds][pairs]."""
        replies = self.lab.recordings.replies_each(subject, [pair.messages for pair in pairs], seeds)
        return [[Conversation(pair.messages, reply) for pair, reply in zip(pairs, each, strict=True)] for each in replies]

    def replies_of(self, subject: Subject) -> list[Conversation]:
        """One reply to every test scenario of the profile; the same seed for every subject."""
        return self.conversations(subject, self.pairs, self.lab.settings.seed)

    def flagged(self, conversations: Sequence[Conversation]) -> Flags:
        """Which conversations training-signal calls a failure, [conversations]. AgentError where it gives no answer."""
        return np.array([flag.flagged for flag in self.signal().flag(conversations)])

    def say(self, what: str) -> None:
        """A line of progress, before something that takes a while."""
        self.lab.progress(f"q4 {self.lab.behavior.name}: {what}")
