"""A judge labels a reply in its conversation. How often its labels are right is measured first, on scenarios that it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from harness.data.behavior import Behavior, Message

Label = Literal["positive", "negative", "neither"]
"""positive: the reply shows the behavior. negative: it shows the opposite. neither: it shows neither, or makes no sense."""


class JudgeError(RuntimeError):
    """The judge gave no label. A check that needs it is inconclusive, with this reason."""


class Judge(Protocol):
    """Something that labels replies. Every method and property may raise JudgeError."""

    @property
    def name(self) -> str:
        """What reports call it."""
        ...

    @property
    def digest(self) -> str:
        """What determines its answers, for store keys."""
        ...

    def label(self, messages: Sequence[Message], reply: str) -> Label:
        """The label of one reply to `messages`."""
        ...

    def labels(self, conversations: Sequence[Sequence[Message]], replies: Sequence[str]) -> list[Label]:
        """The label of each reply in its conversation, in order."""
        ...

    def score(self, messages: Sequence[Message], reply: str) -> float:
        """Probability that the reply shows the behavior rather than its opposite, 0 to 1; takes no account of "neither"."""
        ...


def held_out_accuracy(judge: Judge, behavior: Behavior) -> Accuracy:
    """The judge's accuracy on both completions of every test pair, each labeled by itself."""
    pairs = behavior.split("test")
    prompts = [pair.messages for pair in pairs]
    right = judge.labels(prompts, [pair.positive for pair in pairs]).count("positive")
    right += judge.labels(prompts, [pair.negative for pair in pairs]).count("negative")
    return Accuracy(right, 2 * len(pairs))


@dataclass(frozen=True)
class Accuracy:
    """How many of `n` labels were right; "neither" counts as wrong."""

    right: int
    n: int

    @property
    def share(self) -> float:
        """Share of right labels, 0 to 1."""
        return self.right / self.n
