"""What an agent that watches conversations reads and what it answers.

`SurfaceObserve` ranks the nodes of a memory graph by how well they fit a conversation. `TrainingSignal` says of a conversation whether
its reply is a failure that the next training cycle should correct. Neither gets to see the ids of the scenarios.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from harness.data.arrays import Floats
from harness.data.behavior import Message
from harness.memory.graph import MemoryGraph


class AgentError(RuntimeError):
    """An agent crashed, did not finish in time, or gave an invalid answer. A check that needs it is inconclusive, with this reason."""


@dataclass(frozen=True)
class Conversation:
    """One reply and what it replies to."""

    messages: tuple[Message, ...]
    """All messages before the reply; the last one is the user's."""
    reply: str
    """The assistant's reply; may be empty."""


@dataclass(frozen=True)
class Flag:
    """What a training-signal agent says of one conversation."""

    flagged: bool
    """Whether the reply is a failure that should be corrected."""
    pattern: str | None
    """Id of the failure pattern in the memory graph; None where the reply is not flagged or the agent names no pattern."""
    span: str | None
    """The part of the reply that shows the failure, word for word; None where there is none."""
    confidence: float
    """The agent's probability that the reply is a failure, 0 to 1, whether it is flagged or not."""


class SurfaceObserve(Protocol):
    """An agent that says which memories a conversation calls up."""

    @property
    def name(self) -> str:
        """What the report calls the agent; also part of the store key of its activations."""
        ...

    def surface(self, graph: MemoryGraph, conversations: Sequence[Conversation]) -> Floats:
        """Activation of every node, [conversations, nodes], at least 0, nodes in the graph's order; the highest is surfaced first.

        AgentError where the agent fails.
        """
        ...


class TrainingSignal(Protocol):
    """An agent that says which replies the next training cycle should correct."""

    @property
    def name(self) -> str:
        """What the report calls the agent."""
        ...

    def flag(self, conversations: Sequence[Conversation]) -> list[Flag]:
        """One flag for each conversation, in the same order. AgentError where the agent fails."""
        ...
