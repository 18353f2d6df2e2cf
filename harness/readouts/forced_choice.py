"""The forced choice: how much a subject prefers a pair's positive completion, in nats.

Three metrics, all log-odds of positive over negative. `per_token`: the difference of the completions' mean token
log-probabilities. `at_decision`: the same over the tokens of the marked decision phrases alone, where what is echoed and
what is suggested cannot dilute it (over all tokens where a pair has none marked). `at_parting`: the difference at the first
token where the completions part, given the words they share. Only shifts between two subjects on the same pairs mean
anything: the level depends on the wording. Which metric tells arms apart is measured (Q1's table), not assumed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from harness.data.arrays import Floats
from harness.data.behavior import Pair
from harness.data.subject import Subject
from harness.engines.protocol import Completion, Engine, Scored, Steering, score

Metric = Literal["per_token", "at_decision", "at_parting"]
PRIMARY: Metric = "at_decision"
"""The metric that checks rest on: of the three it tells trained from opposite and from sham best (Q1 prints the table)."""
UNIT = "nats per token of the decision"


def _per_token(_pair: Pair, positive: Scored, negative: Scored) -> float:
    return positive.per_token - negative.per_token


def _at_decision(pair: Pair, positive: Scored, negative: Scored) -> float:
    marks = pair.decision
    return _over_phrases(positive, pair.positive, marks.positive if marks else ()) - _over_phrases(
        negative, pair.negative, marks.negative if marks else ()
    )


def _over_phrases(scored: Scored, text: str, phrases: Sequence[str]) -> float:
    """Mean log-probability of the tokens that touch one of the phrases; of all tokens where there are no phrases."""
    touching = _touching(scored.offsets, text, phrases)
    return float(np.mean(scored.log_probabilities[touching])) if touching else scored.per_token


def _touching(offsets: Sequence[tuple[int, int]], text: str, phrases: Sequence[str]) -> list[int]:
    """Indices of the tokens that touch one of the phrases."""
    starts = [text.index(phrase) for phrase in phrases]
    ranges = [(start, start + len(phrase)) for start, phrase in zip(starts, phrases, strict=True)]
    return [i for i, (start, end) in enumerate(offsets) if any(start < high and end > low for low, high in ranges)]


def decision_weights(pair: Pair, positive: Sequence[tuple[int, int]], negative: Sequence[tuple[int, int]]) -> tuple[Floats, Floats]:
    """What `at_decision` weighs each log-probability with, [tokens] of the positive and of the negative completion.

    Both are given as the ranges of characters of their tokens, as in `Scored.offsets`.
    """
    marks = pair.decision

    def weights(offsets: Sequence[tuple[int, int]], text: str, phrases: Sequence[str], sign: float) -> Floats:
        touching = _touching(offsets, text, phrases) or list(range(len(offsets)))
        found = np.zeros(len(offsets))
        found[touching] = sign / len(touching)
        return found

    return (
        weights(positive, pair.positive, marks.positive if marks else (), 1.0),
        weights(negative, pair.negative, marks.negative if marks else (), -1.0),
    )


def _at_parting(_pair: Pair, positive: Scored, negative: Scored) -> float:
    for p, n, lp, ln in zip(positive.tokens, negative.tokens, positive.log_probabilities, negative.log_probabilities, strict=False):
        if p != n:
            return float(lp - ln)
    raise ValueError("one completion is the beginning of the other: they never part")


METRICS: dict[Metric, Callable[[Pair, Scored, Scored], float]] = {
    "per_token": _per_token,
    "at_decision": _at_decision,
    "at_parting": _at_parting,
}
"""How each metric follows from a pair and the scores of its two completions. A new one needs a name in `Metric` and an entry here."""
UNNAMED_METRICS = frozenset({"per_token", "at_decision", "at_parting"})
"""The metrics of a stored forced choice whose key names none: of all that were stored before keys could name them."""


def metrics_key() -> dict[str, Any]:
    """What the key of a stored forced choice says of its metrics: nothing while they are UNNAMED_METRICS, otherwise all their names.

    So entries stored long ago are still found, and a new metric makes new entries instead of being missed in an old one.
    """
    return {} if METRICS.keys() == UNNAMED_METRICS else {"metrics": sorted(METRICS)}


@dataclass(frozen=True)
class ForcedChoice:
    """Log-odds in nats by metric, [..., pairs] each, in the order of the pairs."""

    values: Mapping[Metric, Floats]

    def metric(self, name: Metric) -> Floats:
        """[..., pairs]."""
        return self.values[name]

    def above(self, other: ForcedChoice) -> ForcedChoice:
        """The shift from another subject's choices on the same pairs."""
        return ForcedChoice({name: values - other.values[name] for name, values in self.values.items()})

    def each(self) -> list[ForcedChoice]:
        """What `stacked` put together: one for every entry of the first axis."""
        count = len(self.values[PRIMARY])
        return [ForcedChoice({name: values[i] for name, values in self.values.items()}) for i in range(count)]

    @staticmethod
    def stacked(choices: Sequence[ForcedChoice]) -> ForcedChoice:
        """[choices, pairs] of several."""
        return ForcedChoice({name: np.stack([choice.values[name] for choice in choices]) for name in METRICS})

    @staticmethod
    def joined(parts: Sequence[ForcedChoice]) -> ForcedChoice:
        """One after the other along the last axis, [..., pairs of all]."""
        return ForcedChoice({name: np.concatenate([part.values[name] for part in parts], axis=-1) for name in METRICS})

    def arrays(self) -> dict[str, Floats]:
        """The values by name of the metric, as the store keeps them."""
        return {str(name): values for name, values in self.values.items()}

    @staticmethod
    def from_arrays(arrays: Mapping[str, Floats]) -> ForcedChoice:
        """What `arrays` gave; KeyError where one of METRICS is missing."""
        return ForcedChoice({name: arrays[name] for name in METRICS})


def completions_of(pairs: Sequence[Pair]) -> list[Completion]:
    """Positive and negative completion of every pair, alternating."""
    return [Completion(pair.messages, text) for pair in pairs for text in (pair.positive, pair.negative)]


def from_scores(pairs: Sequence[Pair], scores: Sequence[Scored]) -> ForcedChoice:
    """Turn scores of alternating positive and negative completions into log-odds, [pairs].

    ValueError where a completion has no partner, or is the beginning of it.
    """
    both = list(zip(pairs, scores[::2], scores[1::2], strict=True))
    return ForcedChoice({name: np.array([metric(*one) for one in both]) for name, metric in METRICS.items()})


def forced_choice(engine: Engine, subject: Subject, pairs: Sequence[Pair], steering: Steering | None = None) -> ForcedChoice:
    """Score both completions of every pair, [pairs]."""
    return from_scores(pairs, score(engine, subject, completions_of(pairs), steering))
