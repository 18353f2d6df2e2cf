"""Three filters that a reply must pass before it can show a behavior, each fitted to completions against contrasts of them.

`Topic`: it takes up the user's words and is not cut off. `Order`: its words are in an order that sentences have. `Kept`: it is neither
negated nor taken back. Each sees only what it is about, so that none of them learns how a contrast of another kind looks.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from harness.data.behavior import Message, Pair
from harness.judges.classifier import Classifier, Features
from harness.judges.contrasts import ELSEWHERE, NEGATED, RETRACTED, RETRACTIONS, TRUNCATED, contrasts, reversed_pair, scrambled
from harness.judges.word_order import WordOrder
from harness.judges.wording import (
    AUXILIARIES,
    CLOSED,
    NEGATIONS,
    SENTENCE_END,
    STEM,
    asked,
    clauses,
    grams,
    is_word,
    shared_stems,
    takes_up,
    tokens,
    word_class,
)

SCRAMBLES = 4
"""Scrambled versions of each completion that `Order` is fitted to."""
FOLDS = 6
"""Folds of domains: `Order` is fitted to texts whose word order was learned from other folds."""
OF_NO_TOPIC = 5
"""Domains whose completions must use a word that belongs to no topic."""
MANY_FEATURES, FEW_FEATURES = 0.3, 1.0
"""Inverse of the L2 penalty, for `Order` and for the two others."""


class Filter(Protocol):
    """Probability that a reply passes."""

    def probability(self, messages: Sequence[Message], reply: str) -> float:
        """0 to 1."""
        ...


def _completions(pairs: Sequence[Pair]) -> list[tuple[Pair, str]]:
    return [(pair, text) for pair in pairs for text in (pair.positive, pair.negative)]


def _strangers(pairs: Sequence[Pair]) -> list[tuple[Pair, str]]:
    """Sentences that users said in other conversations: replies that decide nothing and are off the topic."""
    away = len(pairs) // 2
    return [
        (pair, sentence)
        for pair, other in zip(pairs, (*pairs[away:], *pairs[:away]), strict=True)
        for sentence in SENTENCE_END.split(other.messages[-1].content)
    ]


@dataclass(frozen=True)
class Topic:
    """Completions of either side against elsewhere and truncated contrasts of either side, and sentences of users elsewhere."""

    classifier: Classifier
    shared: frozenset[str]
    """Stems that do not count as a topic of the reply's own."""
    formulas: frozenset[str]
    """Stems that belong to no topic."""

    @classmethod
    def fit(cls, pairs: Sequence[Pair], domains: int) -> Topic:
        """`domains`: completions of how many domains must use a word for it not to count as a topic of the reply's own."""
        blank = cls(Classifier({}, 0.0), shared_stems(pairs, domains), shared_stems(pairs, OF_NO_TOPIC))
        good = _completions(pairs)
        both = (*contrasts(pairs), *contrasts([reversed_pair(pair) for pair in pairs]))
        bad = [(each.pair, each.reply) for each in both if each.kind in (ELSEWHERE, TRUNCATED)] + _strangers(pairs)
        rows = [blank.features(pair.messages, reply) for pair, reply in (*good, *bad)]
        return cls(Classifier.fit(rows, [1] * len(good) + [0] * len(bad), FEW_FEATURES), blank.shared, blank.formulas)

    def features(self, messages: Sequence[Message], reply: str) -> Features:
        """Whether it takes up a content word, how many others it brings, and whether it is cut off."""
        read, said = tokens(reply), asked(messages)
        own = {token[:STEM] for token in read if is_word(token) and token not in CLOSED} - said - self.shared
        echo = any(takes_up(token, said) for token in read)
        length = min(sum(map(is_word, read)) // 3, 3)
        cut_off = bool(read) and is_word(read[-1])
        names = [f"echo {echo}", f"echo {echo} own {min(len(own), 3)}", f"cut off {cut_off} words {length if cut_off else 'any'}"]
        return dict.fromkeys([*names, *([f"ends with {word_class(read[-1])}"] if cut_off else [])], 1.0)

    def probability(self, messages: Sequence[Message], reply: str) -> float:
        """Probability that the reply is about what was asked, 0 to 1; 1 for a whole reply in words of no topic ("I will do that.")."""
        if not any(is_word(token) and token not in CLOSED and token[:STEM] not in self.formulas for token in tokens(reply)) and _is_whole(
            reply
        ):
            return 1.0
        return self.classifier.probability(self.features(messages, reply))


def _is_whole(reply: str) -> bool:
    read = tokens(reply)
    return bool(read) and not is_word(read[-1])


@dataclass(frozen=True)
class Order:
    """Completions and users' turns against scrambled completions."""

    classifier: Classifier
    known: WordOrder

    @classmethod
    def fit(cls, pairs: Sequence[Pair]) -> Order:
        """Features of a text come from word order learned in other folds of domains, as those of a new reply do."""
        domains = sorted({pair.domain for pair in pairs})
        fold = {domain: place % min(FOLDS, len(domains)) for place, domain in enumerate(domains)}
        rows: list[Features] = []
        labels: list[int] = []
        for left_out in sorted(set(fold.values())):
            inside = [pair for pair in pairs if fold[pair.domain] == left_out]
            known = WordOrder.learn([text for pair in pairs if fold[pair.domain] != left_out for text in _texts(pair)])
            for label, texts in ((1, [t for pair in inside for t in _texts(pair)]), (0, [t for pair in inside for t in _scrambles(pair)])):
                found = [row for text in texts for row in known.features(text)]
                rows += found
                labels += [label] * len(found)
        return cls(Classifier.fit(rows, labels, MANY_FEATURES), WordOrder.learn([text for pair in pairs for text in _texts(pair)]))

    def probability(self, messages: Sequence[Message], reply: str) -> float:
        """Probability that the reply is a text and not its words in random order, 0 to 1: of the mean log-odds of its pieces."""
        pieces = self.known.features(reply)
        odds = sum(map(self.classifier.log_odds, pieces)) / max(1, len(pieces))
        return Classifier({}, odds).probability({})


def _texts(pair: Pair) -> list[str]:
    return [pair.positive, pair.negative, *(message.content for message in pair.messages)]


def _scrambles(pair: Pair) -> list[str]:
    return [scrambled(side, random.Random(f"{number} {pair.id}")) for number in range(SCRAMBLES) for side in (pair, reversed_pair(pair))]


@dataclass(frozen=True)
class Kept:
    """Positive completions against negated and retracted ones. What it says of a negative completion means nothing."""

    classifier: Classifier
    shown: frozenset[str]
    """Words beside function words that stand for themselves: those of the retractions that it was fitted to."""

    @classmethod
    def fit(cls, pairs: Sequence[Pair]) -> Kept:
        used = {pair.split for pair in pairs}
        blank = cls(Classifier({}, 0.0), frozenset(word for split in used for text in RETRACTIONS[split] for word in tokens(text)))
        good = [(pair, pair.positive) for pair in pairs]
        bad = [(each.pair, each.reply) for each in contrasts(pairs) if each.kind in (NEGATED, RETRACTED)]
        rows = [blank.features(pair.messages, reply) for pair, reply in (*good, *bad)]
        return cls(Classifier.fit(rows, [1] * len(good) + [0] * len(bad), FEW_FEATURES), blank.shown)

    def features(self, messages: Sequence[Message], reply: str) -> Features:
        """Negations by their clause and their neighbors, and the wording of the last sentence where there are several."""
        said, parts = asked(messages), clauses(tokens(reply))
        out: dict[str, float] = {}
        for number, clause in enumerate(parts):
            if NEGATIONS.isdisjoint(clause):
                continue
            own = not any(takes_up(word, said) for word in clause)
            last = number == len(parts) - 1 and number > 0
            first_person = "i" in clause
            auxiliary = any(a in AUXILIARIES and b in NEGATIONS for a, b in pairwise(clause))
            names = {
                "negation": True,
                "of the speaker": first_person,
                "after an auxiliary": auxiliary,
                "at the end": last,
                "off the topic": own,
            }
            out |= {name: 1.0 for name, holds in names.items() if holds}
            around = zip(["^", *clause], clause, [*clause[1:], "$"], strict=False)
            for before, word, after in around:
                if word in NEGATIONS:
                    out |= {f"{before} {word}": 1.0, f"{word} > {self._shown(after)}": 1.0}
        sentences = SENTENCE_END.split(reply.strip())
        if len(sentences) > 1:
            last_words = tokens(sentences[-1])
            out |= grams(["^", *map(self._shown, last_words), "$"], (1, 2), "last: ")
            if not any(takes_up(word, said) for word in last_words):
                out["last: off the topic"] = 1.0
            out[f"last: words {min(len(last_words) // 2, 4)}"] = 1.0
        return out

    def _shown(self, word: str) -> str:
        return word if not is_word(word) or word in CLOSED or word in self.shown else "<other>"

    def probability(self, messages: Sequence[Message], reply: str) -> float:
        """Probability that the reply stands by what it says, 0 to 1."""
        return self.classifier.probability(self.features(messages, reply))


Filters = Mapping[str, Filter]
"""By name."""


def fit_filters(pairs: Sequence[Pair], domains: int) -> Filters:
    """All three, fitted to these pairs; `domains` as in Topic.fit."""
    return {"topic": Topic.fit(pairs, domains), "order": Order.fit(pairs), "kept": Kept.fit(pairs)}
