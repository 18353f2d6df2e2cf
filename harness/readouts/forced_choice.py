"""The forced choice: how much a subject prefers a pair's positive completion, in nats.

Three metrics, all log-odds of positive over negative. `per_token`: the difference of the completions' mean token
log-probabilities. `at_decision`: the same over the tokens of the marked decision phrases alone, where what is echoed and
what is suggested cannot dilute it (over all tokens where a pair has none marked). `at_parting`: the difference at the first
token where the completions part, given the words they share. Only shifts between two subjects on the same pairs mean
anything: the level depends on the wording. Which metric tells arms apart is measured (Q1's table), not assumed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.data.arrays import Floats
from harness.data.behavior import Pair
from harness.data.subject import Subject
from harness.engines.protocol import Completion, Engine, Scored, Steering, score

Metric = Literal["per_token", "at_decision", "at_parting"]
METRICS: tuple[Metric, ...] = ("per_token", "at_decision", "at_parting")
PRIMARY: Metric = "at_decision"
"""The metric that checks rest on: of the three it tells trained from opposite and from sham best (Q1 prints the table)."""
UNIT = "nats per token of the decision"


@dataclass(frozen=True)
class ForcedChoice:
    """Log-odds in nats, one value a pair (last axis), in the order of the pairs."""

    per_token: Floats  # [..., pairs]
    at_decision: Floats  # [..., pairs]
    at_parting: Floats  # [..., pairs]

    def metric(self, name: Metric) -> Floats:
        return self.arrays()[name]

    def arrays(self) -> dict[str, Floats]:
        return {"per_token": self.per_token, "at_decision": self.at_decision, "at_parting": self.at_parting}

    def above(self, other: ForcedChoice) -> ForcedChoice:
        """The shift from another subject's choices on the same pairs."""
        return ForcedChoice(**{name: self.metric(name) - other.metric(name) for name in METRICS})

    @staticmethod
    def stacked(choices: Sequence[ForcedChoice]) -> ForcedChoice:
        """[choices, pairs] of several."""
        return ForcedChoice(**{name: np.stack([choice.metric(name) for choice in choices]) for name in METRICS})

    @staticmethod
    def joined(parts: Sequence[ForcedChoice]) -> ForcedChoice:
        """One after the other along the last axis, [..., pairs of all]."""
        return ForcedChoice(**{name: np.concatenate([part.metric(name) for part in parts], axis=-1) for name in METRICS})

    @staticmethod
    def from_arrays(arrays: Mapping[str, Floats]) -> ForcedChoice:
        return ForcedChoice(**{name: arrays[name] for name in METRICS})


def completions_of(pairs: Sequence[Pair]) -> list[Completion]:
    """Positive and negative completion of every pair, alternating."""
    return [Completion(pair.messages, text) for pair in pairs for text in (pair.positive, pair.negative)]


def _at_parting(positive: Scored, negative: Scored) -> float:
    for p, n, lp, ln in zip(positive.tokens, negative.tokens, positive.log_probabilities, negative.log_probabilities, strict=False):
        if p != n:
            return float(lp - ln)
    raise ValueError("one completion is the beginning of the other: they never part")


def _of_decision(scored: Scored, text: str, phrases: Sequence[str]) -> float:
    """Mean log-probability of the tokens that touch one of the phrases; of all tokens where there are no phrases."""
    starts = [text.index(phrase) for phrase in phrases]
    ranges = [(start, start + len(phrase)) for start, phrase in zip(starts, phrases, strict=True)]
    touching = [
        value
        for value, (start, end) in zip(scored.log_probabilities, scored.offsets, strict=bool(phrases))
        if any(start < high and end > low for low, high in ranges)
    ]
    return float(np.mean(touching)) if touching else scored.per_token


def from_scores(pairs: Sequence[Pair], scores: Sequence[Scored]) -> ForcedChoice:
    """Turn scores of alternating positive and negative completions into log-odds."""
    both = list(zip(pairs, scores[::2], scores[1::2], strict=True))
    return ForcedChoice(
        per_token=np.array([p.per_token - n.per_token for _, p, n in both]),
        at_decision=np.array(
            [
                _of_decision(p, pair.positive, pair.decision.positive if pair.decision else ())
                - _of_decision(n, pair.negative, pair.decision.negative if pair.decision else ())
                for pair, p, n in both
            ]
        ),
        at_parting=np.array([_at_parting(p, n) for _, p, n in both]),
    )


def forced_choice(engine: Engine, subject: Subject, pairs: Sequence[Pair], steering: Steering | None = None) -> ForcedChoice:
    """Score both completions of every pair."""
    return from_scores(pairs, score(engine, subject, completions_of(pairs), steering))
