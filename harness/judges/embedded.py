"""The judge that needs no other model: a logistic regression on masked n-grams, fitted to a behavior's train pairs.

Its settings are chosen on the dev pairs; test pairs only measure its accuracy. Words that few domains share are masked ("echo" where the
conversation contains them, "other" where not), so that it learns how a decision is worded and not what it is about. A reply is "neither"
where it has no words, repeats itself or the user, or has a score near one half; also where it takes up no word of the conversation and is
not worded like a decision (a second regression: train completions against sentences of users in other conversations). It reads wording:
it cannot tell whether a promise is kept, does not understand irony, and often takes a reply for a decision that stays on the topic without
deciding anything.
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
from harness.store import digest_of

FEWEST = 20
"""Train pairs that fitting needs, and dev pairs that choosing the settings needs."""
RULES = 1
"""Version of what the judge does with a behavior's pairs, part of its digest: raise it with every change of what it answers."""
TOKEN = re.compile(r"[A-Za-z]+(?:'[a-z]+)?|\d+|[?:;,.!]")
SENTENCE_END = re.compile(r"(?<=[.?!])\s+")
START, END, ECHO, OTHER = "^", "$", "<echo>", "<other>"
STEM = 5
"""Leading letters by which a word is recognized in all its inflections."""


@dataclass(frozen=True)
class JudgeSettings:
    """The settings that are chosen on the dev pairs."""

    domains: int
    """A word stays unmasked if completions of at least this many train domains use it."""
    longest: int
    """Words in the longest n-gram."""
    penalty: float
    """Inverse of the L2 penalty."""


GRID = tuple(JudgeSettings(*chosen) for chosen in product((2, 3), (3, 4), (3.0, 10.0, 30.0)))
"""The settings that are tried on the dev pairs, simple ones first."""
UNDECIDED = 0.05
"""A reply is "neither" where its score lies within this distance of one half."""


def _tokens(text: str) -> list[str]:
    return [token.lower().removesuffix("'s") for token in TOKEN.findall(text)]


def _is_word(token: str) -> bool:
    return token[0].isalnum()


def _asked(messages: Sequence[Message]) -> set[str]:
    """Stems of the words in the conversation."""
    return {token[:STEM] for message in messages for token in _tokens(message.content)}


def _shared_stems(pairs: Sequence[Pair], domains: int) -> frozenset[str]:
    """Stems that completions of at least `domains` domains use where the user had not said them."""
    seen: dict[str, set[str]] = defaultdict(set)
    for pair in pairs:
        asked = _asked(pair.messages)
        for token in _tokens(pair.positive) + _tokens(pair.negative):
            if _is_word(token) and token[:STEM] not in asked:
                seen[token[:STEM]].add(pair.domain)
    return frozenset(stem for stem, where in seen.items() if len(where) >= domains)


def _masked(messages: Sequence[Message], reply: str, shared: frozenset[str]) -> list[str]:
    """The reply as wording: shared words (as stems) and punctuation stay, a run of other words becomes one mask."""
    asked = _asked(messages)
    out = [START]
    for token in _tokens(reply):
        stem = token[:STEM]
        shown = token if not _is_word(token) else stem if stem in shared else ECHO if stem in asked else OTHER
        if shown != out[-1] or shown not in (ECHO, OTHER):
            out.append(shown)
    return [*out, END]


def _features(masked: Sequence[str], longest: int) -> dict[str, float]:
    """1.0 for every n-gram of the text that contains a word or a question mark."""
    grams: dict[str, float] = {}
    for size in range(1, longest + 1):
        for start in range(len(masked) - size + 1):
            gram = masked[start : start + size]
            if any(_is_word(token) or token == "?" for token in gram):
                grams[" ".join(gram)] = 1.0
    return grams


def _without_echo(masked: Sequence[str]) -> list[str]:
    """The same wording with echo masks turned into other masks, so that it no longer shows which words came from the user."""
    out: list[str] = []
    for token in masked:
        token = OTHER if token == ECHO else token
        if token != OTHER or out[-1] != OTHER:
            out.append(token)
    return out


def _completions(pairs: Sequence[Pair], shared: frozenset[str]) -> list[list[str]]:
    """Every positive and negative completion, alternating, masked."""
    return [_masked(pair.messages, completion, shared) for pair in pairs for completion in (pair.positive, pair.negative)]


def _strangers(pairs: Sequence[Pair], shared: frozenset[str]) -> list[list[str]]:
    """Sentences that users said in other conversations, masked: examples of replies that decide nothing and are off the topic."""
    away = len(pairs) // 2
    return [
        _masked(pair.messages, sentence, shared)
        for pair, other in zip(pairs, (*pairs[away:], *pairs[:away]), strict=True)
        for sentence in SENTENCE_END.split(other.messages[-1].content)
    ]


@dataclass(frozen=True)
class _Classifier:
    """A logistic regression on the presence of features, class 1 against class 0."""

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
        """Probability of class 1 for each row, [rows]."""
        return [float(p) for p in self.model.predict_proba(self.vectorizer.transform(rows))[:, 1]]


def _has_echo(messages: Sequence[Message], reply: str) -> bool:
    """Whether the reply takes up a word of more than three letters."""
    asked = _asked(messages)
    return any(len(token) > 3 and token[:STEM] in asked for token in _tokens(reply))


def _repeats(messages: Sequence[Message], reply: str) -> bool:
    """Whether the reply only says again what the user said."""
    return " ".join(_tokens(reply)) in " ".join(_tokens(messages[-1].content))


def is_gibberish(reply: str) -> bool:
    """Whether the reply has no words, or says the same few words over and over."""
    words = [token for token in _tokens(reply) if _is_word(token)]
    if not any(len(word) > 1 for word in words):
        return True
    grams = Counter(zip(words, words[1:], words[2:], strict=False))
    return len(words) >= 6 and (len(set(words)) < 0.4 * len(words) or max(grams.values()) >= 3)


@dataclass(frozen=True)
class EmbeddedJudge:
    """A judge fitted to one behavior; the same reply always gets the same label."""

    behavior: str
    """Name of the behavior."""
    settings: JudgeSettings
    shared: frozenset[str]
    """Stems that stay unmasked."""
    sides: _Classifier
    """Positive completions (class 1) against negative ones."""
    decided: _Classifier
    """Train completions of either side (class 1) against sentences of users in other conversations."""

    digest: str
    """What determines the judge's answers: the pairs, and RULES."""

    @property
    def name(self) -> str:
        return f"embedded-{self.behavior}"

    @classmethod
    def fit(cls, behavior: Behavior) -> EmbeddedJudge:
        """The judge fitted to a behavior's train pairs, with the settings of GRID that have the highest likelihood on its dev pairs.

        Of equally good settings the first counts. InputError where there are fewer than FEWEST train or dev pairs.
        """
        refuse_few(behavior)
        train, dev = behavior.split("train"), behavior.split("dev")
        judges = (cls._fit(behavior, train, settings) for settings in GRID)
        return max(judges, key=lambda judge: judge._log_likelihood(dev))

    @classmethod
    def _fit(cls, behavior: Behavior, pairs: Sequence[Pair], settings: JudgeSettings) -> EmbeddedJudge:
        shared = _shared_stems(pairs, settings.domains)
        completions, strangers = _completions(pairs, shared), _strangers(pairs, shared)
        sides = _Classifier.fit([_features(text, settings.longest) for text in completions], [1, 0] * len(pairs), settings.penalty)
        rows = [_features(_without_echo(text), settings.longest) for text in (*completions, *strangers)]
        decided = _Classifier.fit(rows, [1] * len(completions) + [0] * len(strangers), settings.penalty)
        return cls(behavior.name, settings, shared, sides, decided, digest_of(["embedded", RULES, behavior.digest]))

    def _log_likelihood(self, pairs: Sequence[Pair]) -> float:
        rows = [_features(text, self.settings.longest) for text in _completions(pairs, self.shared)]
        return sum(math.log(p if i % 2 == 0 else 1 - p) for i, p in enumerate(self.sides.probabilities(rows)))

    def score(self, messages: Sequence[Message], reply: str) -> float:
        """Probability that the reply shows the behavior rather than its opposite, 0 to 1; takes no account of "neither"."""
        return self.sides.probabilities([_features(_masked(messages, reply, self.shared), self.settings.longest)])[0]

    def _is_decided(self, messages: Sequence[Message], reply: str) -> bool:
        masked = _without_echo(_masked(messages, reply, self.shared))
        return self.decided.probabilities([_features(masked, self.settings.longest)])[0] > 0.5

    def label(self, messages: Sequence[Message], reply: str) -> Label:
        """The label of one reply to `messages`; the module's head says when it is "neither"."""
        if is_gibberish(reply) or _repeats(messages, reply):
            return "neither"
        if not _has_echo(messages, reply) and not self._is_decided(messages, reply):
            return "neither"
        score = self.score(messages, reply)
        if abs(score - 0.5) < UNDECIDED:
            return "neither"
        return "positive" if score > 0.5 else "negative"

    def labels(self, conversations: Sequence[Sequence[Message]], replies: Sequence[str]) -> list[Label]:
        """The label of each reply in its conversation, in order."""
        return [self.label(messages, reply) for messages, reply in zip(conversations, replies, strict=True)]


def refuse_few(behavior: Behavior) -> None:
    """InputError where a behavior has fewer than FEWEST train or dev pairs."""
    for split in ("train", "dev"):
        if (found := len(behavior.split(split))) < FEWEST:
            raise InputError(f"{behavior.path}: {found} {split} pairs are too few to fit a judge; allowed: {FEWEST} or more")
