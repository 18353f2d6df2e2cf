"""Models of one kind, and what is read of their states, each part when a check first needs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from evals.q7.conversations import Conversations
from evals.q7.design import BROUGHT
from harness.data.arm import ArmKind
from harness.data.arrays import Floats
from harness.data.behavior import Pair
from harness.data.subject import Subject
from harness.experiment.lab import Lab
from harness.readouts.forced_choice import PRIMARY
from harness.readouts.state_geometry import Geometry, StateSpace


@dataclass(frozen=True)
class Group:
    """Base alone, or adapters of one kind of training, one a seed, or the candidate alone."""

    lab: Lab
    kind: ArmKind
    """"base", "trained" (also where it is the candidate), "opposite" or "sham"."""
    subjects: tuple[Subject, ...]
    space: StateSpace
    conversations: Conversations
    pairs: tuple[Pair, ...]
    """Test scenarios for state patching."""

    @cached_property
    def geometries(self) -> Sequence[Geometry]:
        """Where each subject's states lie in every conversation."""
        self._say(f"states in {len(self.conversations.texts)} conversations, {self.kind}")
        return [self.space.geometry(subject, self.conversations.texts) for subject in self.subjects]

    @cached_property
    def changes(self) -> Sequence[float]:
        """Relative change of each subject's states against base."""
        return [self.space.change(subject, self.conversations.sized_on) for subject in self.subjects]

    @cached_property
    def odds(self) -> Floats:
        """Log-odds of each subject as it is, nats, [subjects, pairs]."""
        return np.stack([self.lab.recordings.forced_choice(subject, self.pairs).metric(PRIMARY) for subject in self.subjects])

    @cached_property
    def taken(self) -> Floats:
        """What base's states take away: the subject's log-odds minus those with base's states, [subjects, pairs]."""
        self._say(f"state patching, base into {self.kind}")
        recordings, base = self.lab.recordings, self.lab.base
        return self.odds - np.stack([recordings.patched_states(one, base, self.pairs).metric(PRIMARY) for one in self.subjects])

    @cached_property
    def brought(self) -> Floats:
        """What the first subjects' states bring to base: base's log-odds with them minus those without, [at most BROUGHT, pairs]."""
        self._say(f"state patching, {self.kind} into base")
        recordings, base = self.lab.recordings, self.lab.base
        plain = recordings.forced_choice(base, self.pairs)
        return np.stack([recordings.patched_states(base, one, self.pairs).above(plain).metric(PRIMARY) for one in self.subjects[:BROUGHT]])

    def cosines(self, position: int = 0) -> Floats:
        """Centered cosines of every two conversations, averaged over heads and layers, [subjects, n, n]; `position` in POSITIONS."""
        return np.stack([geometry.cosines[position].mean(axis=0) for geometry in self.geometries])

    def _say(self, what: str) -> None:
        self.lab.progress(f"q7 {self.lab.behavior.name}: {what}")
