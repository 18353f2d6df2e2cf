"""The judge that needs no other model: logistic regressions fitted to a behavior's train and dev pairs and to contrasts made from them.

`sides` reads which completion of a pair a reply is worded like. Words that few domains share are masked ("echo" where the conversation
contains them, "other" where not), so that it learns how a decision is worded and not what it is about. Three filters (`filters.py`) come
before it: a reply that is off the topic, cut off or in no order of words is "neither", unless it is off the topic and worded like the
opposite beyond doubt; one that is negated or taken back is "negative".
Settings are chosen on the dev pairs by fits to the train pairs; test pairs only measure.

It reads wording: it cannot tell whether a promise is kept, does not understand irony, and often takes a reply for a decision that stays on
the topic without deciding anything.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from harness.data.behavior import Behavior, Message, Pair
from harness.data.errors import InputError
from harness.judges.classifier import Classifier, Features
from harness.judges.contrasts import ELSEWHERE, NEGATED, RETRACTED, SCRAMBLED, TRUNCATED, contrasts
from harness.judges.filters import Filters, fit_filters
from harness.judges.judge import Label
from harness.judges.wording import grams, is_gibberish, masked, repeats, shared_stems
from harness.store import digest_of

FEWEST = 20
"""Train pairs that fitting needs, and dev pairs that choosing the settings needs."""
RULES = 2
"""Version of what the judge does with a behavior's pairs, part of its digest: raise it with every change of what it answers."""
DOMAINS = 2
"""A word stays unmasked if completions of at least this many domains use it."""
GRID = tuple(product((3, 4), (3.0, 10.0)))
"""Words in the longest n-gram of `sides` and the inverse of its L2 penalty, as tried on the dev pairs, simple ones first."""
CUTS = (0.5, 0.45, 0.4, 0.35, 0.3, 0.25, 0.2)
"""Probabilities below which a filter refuses a reply, as tried on the dev pairs."""
DOUBTLESS = 0.05
"""Score up to which a reply off the topic is still negative: an idea of its own ("How about a kite?") need not take up the user's words."""
REFUSES: Mapping[str, tuple[str, ...]] = {"topic": (ELSEWHERE, TRUNCATED), "order": (SCRAMBLED,), "kept": (NEGATED, RETRACTED)}
"""The contrasts that each filter is there to refuse."""


@dataclass(frozen=True)
class EmbeddedJudge:
    """A judge fitted to one behavior; the same reply always gets the same label."""

    behavior: Behavior
    longest: int
    """Words in the longest n-gram of `sides`."""
    shared: frozenset[str]
    """Stems that stay unmasked."""
    sides: Classifier
    """Positive completions (class 1) against negative ones."""
    filters: Filters
    cuts: Mapping[str, float]
    """Probability below which each filter refuses a reply."""

    @property
    def name(self) -> str:
        return f"embedded-{self.behavior.name}"

    @property
    def digest(self) -> str:
        """Of the pairs and the version of the rules. Weights are left out: their last digits differ between machines."""
        return digest_of(["embedded", RULES, self.behavior.digest])

    @classmethod
    def fit(cls, behavior: Behavior) -> EmbeddedJudge:
        """The judge fitted to a behavior's train and dev pairs.

        Its settings are those that do best on the dev pairs after a fit to the train pairs alone: for `sides` the highest likelihood, for a
        filter the largest of the smaller of two shares, completions passed (positive ones, for `kept`) and contrasts refused. Of equally
        good ones the first counts. InputError where there are fewer than FEWEST train or dev pairs.
        """
        refuse_few(behavior)
        train, dev = behavior.split("train"), behavior.split("dev")
        tried = [cls._sided(behavior, train, longest, penalty) for longest, penalty in GRID]
        best = max(range(len(GRID)), key=lambda place: tried[place]._log_likelihood(dev))
        cuts = _best_cuts(fit_filters(train, DOMAINS), dev)
        return replace(cls._sided(behavior, (*train, *dev), *GRID[best]), filters=fit_filters((*train, *dev), DOMAINS), cuts=cuts)

    @classmethod
    def _sided(cls, behavior: Behavior, pairs: Sequence[Pair], longest: int, penalty: float) -> EmbeddedJudge:
        """With `sides` alone."""
        blank = cls(behavior, longest, shared_stems(pairs, DOMAINS), Classifier({}, 0.0), {}, {})
        return replace(blank, sides=Classifier.fit(blank._completions(pairs), [1, 0] * len(pairs), penalty))

    def _completions(self, pairs: Sequence[Pair]) -> list[Features]:
        """Features of every positive and negative completion, alternating."""
        return [self._features(pair.messages, text) for pair in pairs for text in (pair.positive, pair.negative)]

    def _features(self, messages: Sequence[Message], reply: str) -> Features:
        return grams(masked(messages, reply, self.shared), range(1, self.longest + 1))

    def _log_likelihood(self, pairs: Sequence[Pair]) -> float:
        p = [self.sides.probability(row) for row in self._completions(pairs)]
        return sum(math.log(each if i % 2 == 0 else 1 - each) for i, each in enumerate(p))

    def score(self, messages: Sequence[Message], reply: str) -> float:
        """Probability that the reply shows the behavior rather than its opposite, 0 to 1; takes no account of the filters."""
        return self.sides.probability(self._features(messages, reply))

    def label(self, messages: Sequence[Message], reply: str) -> Label:
        """The label of one reply to `messages`; the module's head says when it is "neither"."""
        if is_gibberish(reply) or repeats(messages, reply):
            return "neither"
        score = self.score(messages, reply)
        if self._refused("order", messages, reply) or (self._refused("topic", messages, reply) and score > DOUBTLESS):
            return "neither"
        return "negative" if score <= 0.5 or self._refused("kept", messages, reply) else "positive"

    def _refused(self, name: str, messages: Sequence[Message], reply: str) -> bool:
        return self.filters[name].probability(messages, reply) < self.cuts[name]

    def labels(self, conversations: Sequence[Sequence[Message]], replies: Sequence[str]) -> list[Label]:
        """The label of each reply in its conversation, in order."""
        return [self.label(messages, reply) for messages, reply in zip(conversations, replies, strict=True)]

    def labels_anew(self, conversations: Sequence[Sequence[Message]], replies: Sequence[str]) -> list[Label]:
        """The same: nothing is kept."""
        return self.labels(conversations, replies)


def refuse_few(behavior: Behavior) -> None:
    """InputError where a behavior has fewer than FEWEST train or dev pairs."""
    for split in ("train", "dev"):
        if (found := len(behavior.split(split))) < FEWEST:
            raise InputError(f"{behavior.path}: {found} {split} pairs are too few to fit a judge; allowed: {FEWEST} or more")


def _best_cuts(filters: Filters, dev: Sequence[Pair]) -> dict[str, float]:
    found = {}
    for name, each in filters.items():
        sides = [(pair, text) for pair in dev for text in ((pair.positive,) if name == "kept" else (pair.positive, pair.negative))]
        passed = [each.probability(pair.messages, text) for pair, text in sides]
        refused = [each.probability(one.pair.messages, one.reply) for one in contrasts(dev) if one.kind in REFUSES[name]]
        found[name] = max(CUTS, key=lambda cut: min(_share(p >= cut for p in passed), _share(p < cut for p in refused)))
    return found


def _share(flags: Iterable[bool]) -> float:
    listed = list(flags)
    return sum(listed) / max(1, len(listed))
