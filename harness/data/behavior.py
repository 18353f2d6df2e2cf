"""A behavior is data: pairs of completions, one that shows it and one that does not, split by domain."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Split = Literal["train", "dev", "test"]
Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True)
class Decision:
    """The substrings that carry the decision, each occurring once in its completion: the primary metric reads them."""

    positive: tuple[str, ...]
    negative: tuple[str, ...]


@dataclass(frozen=True)
class Pair:
    """One scenario: a conversation that ends with the user's turn, and two completions matched in length and style."""

    id: str
    split: Split
    domain: str
    messages: tuple[Message, ...]
    positive: str
    negative: str
    difficulty: str | None = None
    decision: Decision | None = None


@dataclass(frozen=True)
class Behavior:
    """All pairs of one behavior. `digest` is a SHA-256 of name, description and pairs, independent of the folder's place."""

    name: str
    description: str
    memory_node: str
    pairs: tuple[Pair, ...]
    digest: str
    path: Path

    def split(self, split: Split) -> tuple[Pair, ...]:
        """The pairs of one split, in file order."""
        return tuple(pair for pair in self.pairs if pair.split == split)
