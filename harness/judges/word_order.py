"""Is a text in an order that sentences have? How likely its words' classes are in their order, against the same classes in any order.

Per token log p(c | two classes before) − log p(c): the trigrams of an interpolated model (Witten and Bell, IEEE Transactions on Information
Theory 37, 1991, with a constant number of novel continuations), learned from the users' turns and completions of a behavior. It knows word
classes, no meaning: sense and nonsense in the same order score the same.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from harness.data.arrays import Floats
from harness.judges.wording import START, function_words, pieces, tokens, word_classes

NOVEL = 10.0
"""Weight of the shorter context, in occurrences of the longer one; 5 to 30 separate scrambled dev completions equally well."""
LONGEST = 24
"""Tokens of one piece. A reply is read in pieces, so that the features of a long one are those of its parts."""
Reading = Callable[[Sequence[str]], list[str]]
"""From tokens to the symbols of a model."""
READINGS: tuple[tuple[str, Reading], ...] = (("class", word_classes), ("word", function_words))


@dataclass(frozen=True)
class Trigrams:
    """Counts of symbols in their contexts."""

    counts: Counter[tuple[str, ...]]
    """Occurrences of one, two and three symbols in a row."""
    contexts: Counter[tuple[str, ...]]
    """Occurrences of none, one and two symbols with another one after them."""

    @cached_property
    def kinds(self) -> int:
        """Symbols that occur, and one for all that do not."""
        return sum(len(gram) == 1 for gram in self.counts) + 1

    @classmethod
    def learn(cls, texts: Sequence[Sequence[str]]) -> Trigrams:
        """From texts of symbols, each between START and END."""
        counts, contexts = Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
        for text in texts:
            padded = (START, *text)
            for end in range(2, len(padded)):
                for before in range(3):
                    context = padded[end - before : end]
                    contexts[context] += 1
                    counts[(*context, padded[end])] += 1
        return cls(counts, contexts)

    def gains(self, text: Sequence[str]) -> Floats:
        """log p(symbol | two before) − log p(symbol), nats, for every symbol of the text but the first, [symbols − 1]."""
        padded = (START, *text)
        out = []
        for end in range(2, len(padded)):
            p = 1 / self.kinds
            for before in range(3):
                context = padded[end - before : end]
                p = (self.counts[(*context, padded[end])] + NOVEL * p) / (self.contexts[context] + NOVEL)
            alone = (self.counts[(padded[end],)] + 1) / (self.contexts[()] + self.kinds)
            out.append(math.log(p / alone))
        return np.array(out)


@dataclass(frozen=True)
class WordOrder:
    """The two models of one behavior's texts: over classes of words, and over function words and classes."""

    models: tuple[Trigrams, ...]
    """One for each of READINGS."""

    @classmethod
    def learn(cls, texts: Sequence[str]) -> WordOrder:
        """From whole texts."""
        read = [tokens(text) for text in texts]
        return cls(tuple(Trigrams.learn([reading(text) for text in read]) for _, reading in READINGS))

    def features(self, reply: str) -> list[dict[str, float]]:
        """The features of each piece of a reply: gains in the mean, at their worst, and its bigrams and trigrams of classes."""
        return [self._of_piece(piece) for piece in pieces(tokens(reply), LONGEST)]

    def _of_piece(self, piece: Sequence[str]) -> dict[str, float]:
        out: dict[str, float] = {}
        for (name, reading), model in zip(READINGS, self.models, strict=True):
            gains = model.gains(reading(piece))
            out[f"{name} mean"] = 2 * float(gains.mean())
            out[f"{name} sum"] = float(np.clip(gains.sum() / 10, -3, 3))
            out[f"{name} unlikely"] = 3 * float((gains < -1).mean())
            for width in (4, 6):
                sums = np.cumsum([0.0, *gains])
                span = min(width, len(gains))
                out[f"{name} worst {width}"] = float((sums[span:] - sums[:-span]).min()) / span
        classes = word_classes(piece)
        out |= {f"{size} {' '.join(classes[i : i + size])}": 1.0 for size in (2, 3) for i in range(len(classes) - size + 1)}
        out["twice"] = float(sum(a == b for a, b in pairwise(piece)))
        return out
