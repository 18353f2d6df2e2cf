"""A judge labels a reply in its conversation. How often its labels are right is measured first, on scenarios that it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from harness.data.behavior import Message

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
        """Of what determines its labels, as far as it knows: two judges with different digests are different judges."""
        ...

    def label(self, messages: Sequence[Message], reply: str) -> Label:
        """The label of one reply to `messages`."""
        ...

    def labels(self, conversations: Sequence[Sequence[Message]], replies: Sequence[str]) -> list[Label]:
        """The label of each reply in its conversation, in order."""
        ...

    def labels_anew(self, conversations: Sequence[Sequence[Message]], replies: Sequence[str]) -> list[Label]:
        """As `labels`, with nothing taken from what was labeled before: a judge that has changed answers as it is."""
        ...

    def score(self, messages: Sequence[Message], reply: str) -> float:
        """Probability that the reply shows the behavior rather than its opposite, 0 to 1; takes no account of "neither"."""
        ...
