"""A behavior is data: pairs of completions, one that shows it and one that does not, split by domain."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Split = Literal["train", "dev", "test"]
"""train: arms and vectors learn from it. dev: settings are chosen on it. test: measured on, never chosen on."""
Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True)
class Decision:
    """The phrases of both completions that carry the decision; the primary metric reads the log-probability of their tokens alone."""

    positive: tuple[str, ...]
    """Substrings of the positive completion, each occurring in it exactly once."""
    negative: tuple[str, ...]
    """Substrings of the negative completion, each occurring in it exactly once."""


@dataclass(frozen=True)
class Pair:
    """One scenario: a conversation and two completions of it, matched in length and style."""

    id: str
    """Unique within the behavior."""
    split: Split
    domain: str
    """What the scenario is about. All pairs of a domain are in one split; intervals resample whole domains."""
    messages: tuple[Message, ...]
    """The conversation; the last message is the user's."""
    positive: str
    """A completion that shows the behavior."""
    negative: str
    """A completion that shows its opposite."""
    difficulty: str | None = None
    """A label in the author's words, if there is one."""
    decision: Decision | None = None
    """None: every token of both completions counts."""


@dataclass(frozen=True)
class Behavior:
    """All pairs of one behavior."""

    name: str
    description: str
    """The behavior as an instruction; it also serves as a system prompt to compare with."""
    memory_node: str
    """Id of the node of the memory graph that should surface when the behavior is lost."""
    pairs: tuple[Pair, ...]
    """In file order."""
    digest: str
    """SHA-256 of name, description and pairs; the same wherever the folder lies."""
    path: Path
    """The folder it was read from."""

    def split(self, split: Split) -> tuple[Pair, ...]:
        """The pairs of one split, in file order."""
        return tuple(pair for pair in self.pairs if pair.split == split)
