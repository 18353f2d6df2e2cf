"""How often a judge is right, on replies that it was not fitted to: both completions of every test pair, and the contrasts made of them.

A contrast is labeled right where it is not called positive: whether a reply that takes its promise back is negative or neither, no rule
can say. What a judge does with the replies of a model is known as far as these replies are like them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.data.arrays import Flags, Floats
from harness.data.behavior import Behavior, Pair
from harness.judges.contrasts import KINDS, contrasts
from harness.judges.judge import Judge, Label

POSITIVE, NEGATIVE = "positive", "negative"


@dataclass(frozen=True)
class Held:
    """The labels of all held-out replies of one kind."""

    kind: str
    """"positive" or "negative" for completions, else a kind of contrast."""
    pairs: tuple[Pair, ...]
    """The scenario of each reply; n of them."""
    labels: tuple[Label, ...]
    """What the judge said of each, [n]."""

    @property
    def right(self) -> Flags:
        """Which labels are right, [n]."""
        return np.array([label != POSITIVE if self.kind in KINDS else label == self.kind for label in self.labels])

    @property
    def called_positive(self) -> Flags:
        """Which replies were called positive, [n]."""
        return np.array([label == POSITIVE for label in self.labels])

    @property
    def share(self) -> float:
        """Share of right labels, 0 to 1."""
        return float(self.right.mean())


@dataclass(frozen=True)
class Reliability:
    """A judge's labels of all held-out replies of a behavior."""

    judge: str
    """The judge's name."""
    held: tuple[Held, ...]
    """Completions of both sides, then the kinds of contrasts that could be made of these pairs."""

    def missed(self, bar: float) -> tuple[Held, ...]:
        """The kinds of which a smaller share than `bar` was labeled right, the worst first."""
        return tuple(sorted((each for each in self.held if each.share < bar), key=lambda each: each.share))

    def youden(self, pairs: Sequence[Pair]) -> Floats:
        """What each of all test `pairs` contributes to sensitivity + specificity − 1 (Youden's index), [pairs]; their mean is the index.

        Sensitivity is measured on positive completions. One minus specificity is the share of replies called positive, in the mean over
        negative completions and every kind of contrast: nobody knows how often a model says what.
        """
        place = {pair.id: at for at, pair in enumerate(pairs)}
        out = np.zeros(len(pairs))
        others = [each for each in self.held if each.kind != POSITIVE]
        for each in self.held:
            weight = 1.0 if each.kind == POSITIVE else -1 / len(others)
            for pair, called in zip(each.pairs, each.called_positive, strict=True):
                out[place[pair.id]] += weight * called * len(pairs) / len(each.pairs)
        return out


def describe(missed: Sequence[Held]) -> str:
    """The kinds that missed, in words: "only 3 of 20 negated replies"."""
    return " and ".join(f"only {int(each.right.sum())} of {len(each.labels)} {each.kind} replies" for each in missed)


def reliability(judge: Judge, behavior: Behavior) -> Reliability:
    """The judge's labels of the test pairs' completions and contrasts. JudgeError where it gives none."""
    pairs = behavior.split("test")
    replies: dict[str, list[tuple[Pair, str]]] = {
        POSITIVE: [(pair, pair.positive) for pair in pairs],
        NEGATIVE: [(pair, pair.negative) for pair in pairs],
        **{kind: [] for kind in KINDS},
    }
    for contrast in contrasts(pairs):
        replies[contrast.kind].append((contrast.pair, contrast.reply))
    return Reliability(judge.name, tuple(_held(judge, kind, said) for kind, said in replies.items() if said))


def _held(judge: Judge, kind: str, said: Sequence[tuple[Pair, str]]) -> Held:
    labels = judge.labels([pair.messages for pair, _ in said], [reply for _, reply in said])
    return Held(kind, tuple(pair for pair, _ in said), tuple(labels))
