"""Labels free replies: positive (shows the behavior), negative (shows its opposite) or neither.

`EmbeddedJudge` is a logistic regression on masked n-grams, fitted to a behavior's train pairs; its settings are chosen on
the dev pairs, and the test pairs are only ever used to show its accuracy. Words that few domains share are masked ("echo"
where the conversation has them, "other" where not), so that what is learned is how a decision is worded, not what it is
about. A reply is "neither" where it has no words, repeats itself or the user, leaves the score near one half, or takes up
nothing of the conversation and is not worded like a decision either (a second regression: train completions against what
users of other conversations say). It reads wording: it cannot tell whether a promise is kept, irony is beyond it, and a
reply that stays on the topic without deciding anything is often taken for a decision.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from harness.data.behavior import Behavior, Message, Pair
from harness.data.errors import InputError
from harness.judges.judge import Label

FEWEST = 20
"""Train pairs (and dev pairs) without which no judge is fitted."""
TOKEN = re.compile(r"[A-Za-z]+(?:'[a-z]+)?|\d+|[?:;,.!]")
SENTENCE_END = re.compile(r"(?<=[.?!])\s+")
START, END, ECHO, OTHER = "^", "$", "<echo>", "<other>"
STEM = 5
"""Letters by which a word is recognized across its inflections."""


@dataclass(frozen=True)
class JudgeSettings:
    """What is chosen on the dev pairs."""

    domains: int
    """Train domains whose completions must share a word for it to stay unmasked."""
    longest: int
    """Words in the longest n-gram."""
    penalty: float
    """Inverse of the L2 penalty."""


GRID = tuple(JudgeSettings(*cell) for cell in product((2, 3), (3, 4), (3.0, 10.0, 30.0)))
UNDECIDED = 0.05
"""Distance of the score from one half within which a reply is neither."""


def _tokens(text: str) -> list[str]:
    return [token.lower().removesuffix("'s") for token in TOKEN.findall(text)]


def _is_word(token: str) -> bool:
    return token[0].isalnum()


def _asked(messages: Sequence[Message]) -> set[str]:
    """Stems of the words in the conversation."""
    return {token[:STEM] for message in messages for token in _tokens(message.content)}


def _shared_stems(pairs: Sequence[Pair], domains: int) -> frozenset[str]:
    """Stems that completions of at least `domains` domains use of their own accord, not because the user said them."""
    seen: dict[str, set[str]] = defaultdict(set)
    for pair in pairs:
        asked = _asked(pair.messages)
        for token in _tokens(pair.positive) + _tokens(pair.negative):
            if _is_word(token) and token[:STEM] not in asked:
                seen[token[:STEM]].add(pair.domain)
    return frozenset(stem for stem, where in seen.items() if len(where) >= domains)


def _masked(messages: Sequence[Message], reply: str, shared: frozenset[str]) -> list[str]:
    """The reply as wording: shared words (as stems) and punctuation stay, runs of other words become one mask."""
    asked = _asked(messages)
    out = [START]
    for token in _tokens(reply):
        stem = token[:STEM]
        shown = token if not _is_word(token) else stem if stem in shared else ECHO if stem in asked else OTHER
        if shown != out[-1] or shown not in (ECHO, OTHER):
            out.append(shown)
    return [*out, END]


def _features(masked: Sequence[str], longest: int) -> dict[str, float]:
    """Presence of every n-gram that holds a word or a question mark."""
    grams: dict[str, float] = {}
    for size in range(1, longest + 1):
        for start in range(len(masked) - size + 1):
            gram = masked[start : start + size]
            if any(_is_word(token) or token == "?" for token in gram):
                grams[" ".join(gram)] = 1.0
    return grams


def _without_echo(masked: Sequence[str]) -> list[str]:
    """The same wording where it does not show what was taken up: echoes become other words."""
    out: list[str] = []
    for token in masked:
        token = OTHER if token == ECHO else token
        if token != OTHER or out[-1] != OTHER:
            out.append(token)
    return out


def _completions(pairs: Sequence[Pair], shared: frozenset[str]) -> list[list[str]]:
    """Every positive and negative, in turn, masked."""
    return [_masked(pair.messages, completion, shared) for pair in pairs for completion in (pair.positive, pair.negative)]


def _strangers(pairs: Sequence[Pair], shared: frozenset[str]) -> list[list[str]]:
    """Sentences that users of other conversations said, masked: what a reply off the topic looks like."""
    away = len(pairs) // 2
    return [
        _masked(pair.messages, sentence, shared)
        for pair, other in zip(pairs, (*pairs[away:], *pairs[:away]), strict=True)
        for sentence in SENTENCE_END.split(other.messages[-1].content)
    ]


@dataclass(frozen=True)
class _Classifier:
    """A logistic regression on feature presence, class 1 against class 0."""

    vectorizer: Any
    model: Any

    @classmethod
    def fit(cls, rows: Sequence[dict[str, float]], labels: Sequence[int], penalty: float) -> _Classifier:
        from sklearn.feature_extraction import DictVectorizer
        from sklearn.linear_model import LogisticRegression

        vectorizer = DictVectorizer(sparse=False)
        table = vectorizer.fit_transform(rows)
        return cls(vectorizer, LogisticRegression(C=penalty, solver="liblinear", random_state=0).fit(table, labels))

    def probabilities(self, rows: Sequence[dict[str, float]]) -> list[float]:
        """Of class 1, a row each."""
        return [float(p) for p in self.model.predict_proba(self.vectorizer.transform(rows))[:, 1]]


def _has_echo(messages: Sequence[Message], reply: str) -> bool:
    """Whether a word of more than three letters comes back."""
    asked = _asked(messages)
    return any(len(token) > 3 and token[:STEM] in asked for token in _tokens(reply))


def _repeats(messages: Sequence[Message], reply: str) -> bool:
    """Whether the reply only says again what the user said."""
    return " ".join(_tokens(reply)) in " ".join(_tokens(messages[-1].content))


def is_gibberish(reply: str) -> bool:
    """No words, or the same few words over and over."""
    words = [token for token in _tokens(reply) if _is_word(token)]
    if not any(len(word) > 1 for word in words):
        return True
    grams = Counter(zip(words, words[1:], words[2:], strict=False))
    return len(words) >= 6 and (len(set(words)) < 0.4 * len(words) or max(grams.values()) >= 3)


@dataclass(frozen=True)
class EmbeddedJudge:
    """A judge fitted to one behavior; deterministic."""

    behavior: str
    settings: JudgeSettings
    shared: frozenset[str]
    """Stems that stay unmasked."""
    sides: _Classifier
    """Positive against negative."""
    decided: _Classifier
    """Worded like a completion against anything else."""

    @property
    def name(self) -> str:
        return f"embedded-{self.behavior}"

    @classmethod
    def fit(cls, behavior: Behavior) -> EmbeddedJudge:
        """The judge of a behavior, from its train pairs, with the settings that do best on its dev pairs (first of equals)."""
        train, dev = behavior.split("train"), behavior.split("dev")
        for split, pairs in (("train", train), ("dev", dev)):
            if len(pairs) < FEWEST:
                raise InputError(f"{behavior.path}: {len(pairs)} {split} pairs are too few to fit a judge; allowed: {FEWEST} or more")
        judges = (cls._fit(behavior.name, train, settings) for settings in GRID)
        return max(judges, key=lambda judge: judge._log_likelihood(dev))

    @classmethod
    def _fit(cls, behavior: str, pairs: Sequence[Pair], settings: JudgeSettings) -> EmbeddedJudge:
        shared = _shared_stems(pairs, settings.domains)
        completions, strangers = _completions(pairs, shared), _strangers(pairs, shared)
        sides = _Classifier.fit([_features(text, settings.longest) for text in completions], [1, 0] * len(pairs), settings.penalty)
        rows = [_features(_without_echo(text), settings.longest) for text in (*completions, *strangers)]
        decided = _Classifier.fit(rows, [1] * len(completions) + [0] * len(strangers), settings.penalty)
        return cls(behavior, settings, shared, sides, decided)

    def _log_likelihood(self, pairs: Sequence[Pair]) -> float:
        rows = [_features(text, self.settings.longest) for text in _completions(pairs, self.shared)]
        return sum(math.log(p if i % 2 == 0 else 1 - p) for i, p in enumerate(self.sides.probabilities(rows)))

    def score(self, messages: Sequence[Message], reply: str) -> float:
        """Probability that the reply shows the behavior rather than its opposite, before anything is called "neither"."""
        return self.sides.probabilities([_features(_masked(messages, reply, self.shared), self.settings.longest)])[0]

    def _is_decided(self, messages: Sequence[Message], reply: str) -> bool:
        masked = _without_echo(_masked(messages, reply, self.shared))
        return self.decided.probabilities([_features(masked, self.settings.longest)])[0] > 0.5

    def label(self, messages: Sequence[Message], reply: str) -> Label:
        if is_gibberish(reply) or _repeats(messages, reply):
            return "neither"
        if not _has_echo(messages, reply) and not self._is_decided(messages, reply):
            return "neither"
        score = self.score(messages, reply)
        if abs(score - 0.5) < UNDECIDED:
            return "neither"
        return "positive" if score > 0.5 else "negative"

    def labels(self, conversations: Sequence[Sequence[Message]], replies: Sequence[str]) -> list[Label]:
        return [self.label(messages, reply) for messages, reply in zip(conversations, replies, strict=True)]
