"""What a judge is: it labels a reply in its conversation, and shows its accuracy on scenarios it has not seen before it is believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from harness.data.behavior import Behavior, Message

Label = Literal["positive", "negative", "neither"]


class JudgeError(RuntimeError):
    """The judge gave no answer. What rests on it is inconclusive, with this reason."""


class Judge(Protocol):
    """What labels a reply in its conversation. Every method may raise JudgeError."""

    @property
    def name(self) -> str: ...

    def label(self, messages: Sequence[Message], reply: str) -> Label: ...

    def labels(self, conversations: Sequence[Sequence[Message]], replies: Sequence[str]) -> list[Label]:
        """`label` of every reply in its conversation."""
        ...

    def score(self, messages: Sequence[Message], reply: str) -> float:
        """Probability that the reply shows the behavior rather than its opposite, before anything is called "neither"."""
        ...


def held_out_accuracy(judge: Judge, behavior: Behavior) -> Accuracy:
    """Both completions of every test pair, labeled one by one."""
    pairs = behavior.split("test")
    prompts = [pair.messages for pair in pairs]
    right = judge.labels(prompts, [pair.positive for pair in pairs]).count("positive")
    right += judge.labels(prompts, [pair.negative for pair in pairs]).count("negative")
    return Accuracy(right, 2 * len(pairs))


@dataclass(frozen=True)
class Accuracy:
    """Right labels among completions judged one by one; "neither" counts as wrong."""

    right: int
    n: int

    @property
    def share(self) -> float:
        return self.right / self.n
