"""A judge whose labels are kept in the store. It is made when a label is missing: fitting one takes seconds, and loads scikit-learn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from harness.data.behavior import Message
from harness.judges.judge import Judge, Label
from harness.store import Store, digest_of


@dataclass(frozen=True)
class StoredJudge:
    """Answers as the judge that `make` gives, which must be known to be possible."""

    name: str
    digest: str
    """Which judge it is."""
    key: str
    """What determines its answers: which judge it is and the code that answers, so that a change of the code is seen in them."""
    make: Callable[[], Judge]
    store: Store

    @cached_property
    def judge(self) -> Judge:
        """The judge itself."""
        return self.make()

    def labels(self, conversations: Sequence[Sequence[Message]], replies: Sequence[str]) -> list[Label]:
        """The label of each reply, in order; kept under the judge's key, conversations and replies."""
        said = [[[(m.role, m.content) for m in messages], reply] for messages, reply in zip(conversations, replies, strict=True)]
        labels: list[Label] = self.store.json(
            "judged", {"judge": self.key, "said": digest_of(said)}, lambda: self.judge.labels(conversations, replies)
        )
        return labels

    def labels_anew(self, conversations: Sequence[Sequence[Message]], replies: Sequence[str]) -> list[Label]:
        """The same: a fitted judge answers as its key says, always."""
        return self.labels(conversations, replies)

    def label(self, messages: Sequence[Message], reply: str) -> Label:
        """The label of one reply."""
        return self.judge.label(messages, reply)

    def score(self, messages: Sequence[Message], reply: str) -> float:
        """Probability that the reply shows the behavior rather than its opposite, 0 to 1."""
        return self.judge.score(messages, reply)
