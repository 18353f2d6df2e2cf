"""The conversations whose states are compared: with a direction, reports of the same doings, and small talk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evals.q7.design import DIRECTIONS, SIZED_ON
from fixtures import corpora
from harness.data.arrays import Flags, Names
from harness.experiment.lab import Lab
from harness.experiment.profile import across_domains
from harness.readouts.state_geometry import Conversation


@dataclass(frozen=True)
class Conversations:
    """Directions first, then reports, then small talk. Small talk is matched to the directions in turns, then in length."""

    texts: tuple[Conversation, ...]
    kinds: tuple[str, ...]
    """For each conversation "direction", "report" or "general"."""
    clusters: Names
    """What is resampled together, [conversations]: a direction and the report about it share their domain."""

    @property
    def inside(self) -> Flags:
        """Which of them end with a direction, [conversations]."""
        return np.array([kind == "direction" for kind in self.kinds])

    @property
    def sized_on(self) -> tuple[Conversation, ...]:
        """Those on which the change of the states is read."""
        return self.texts[:SIZED_ON]

    def against(self, kind: str) -> Flags:
        """Directions and the conversations of one other kind, [conversations]."""
        return np.array([each in ("direction", kind) for each in self.kinds])


def gather(lab: Lab, size: int = DIRECTIONS) -> Conversations:
    """At most `size` of each kind. Reports tell the very doings of the directions where the corpus has a report about each of them;
    otherwise they are the corpus' first ones."""
    pairs = across_domains(lab.behavior.split("test"), size)
    reports = {report.about: report for report in corpora.reports()}
    about = [reports[pair.id] for pair in pairs if pair.id in reports]
    told = about if len(about) == len(pairs) else list(corpora.reports())[: len(pairs)]
    talk = _matched([pair.messages for pair in pairs], [one.messages for one in corpora.general()])
    texts = (*(pair.messages for pair in pairs), *(report.messages for report in told), *talk)
    kinds = ("direction",) * len(pairs) + ("report",) * len(told) + ("general",) * len(talk)
    clusters = [pair.domain for pair in pairs] + [report.topic for report in told] + [f"general {i}" for i in range(len(talk))]
    return Conversations(texts, kinds, np.array(clusters))


def _matched(wanted: Sequence[Conversation], pool: Sequence[Conversation]) -> list[Conversation]:
    """For each wanted conversation the one of the pool nearest in turns, then in characters; none twice, as many as the pool has."""
    free, chosen = list(pool), []
    for one in wanted[: len(pool)]:

        def distance(other: Conversation, one: Conversation = one) -> tuple[int, int]:
            length = abs(sum(len(m.content) for m in other) - sum(len(m.content) for m in one))
            return abs(len(other) - len(one)), length

        best = min(free, key=distance)
        free.remove(best)
        chosen.append(best)
    return chosen
