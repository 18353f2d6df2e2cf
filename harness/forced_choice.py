"""The forced choice: how much a subject prefers a pair's positive completion, in nats.

Two metrics, both log-odds of positive over negative: `per_token`, the difference of the completions' mean token
log-probabilities, and `at_parting`, the difference at the first token where they part, given the words they share.
Only shifts between two subjects on the same pairs mean anything: the level depends on the wording.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.data.behavior import Pair
from harness.data.subject import Subject
from harness.engines.protocol import Completion, Engine, Scored, Steering

Metric = Literal["per_token", "at_parting"]
METRICS: tuple[Metric, ...] = ("per_token", "at_parting")


@dataclass(frozen=True)
class ForcedChoice:
    """Log-odds in nats, one value a pair, in the order of the pairs."""

    per_token: NDArray[np.float64]  # [pairs]
    at_parting: NDArray[np.float64]  # [pairs]

    def metric(self, name: Metric) -> NDArray[np.float64]:
        return self.per_token if name == "per_token" else self.at_parting

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        return {"per_token": self.per_token, "at_parting": self.at_parting}

    @staticmethod
    def from_arrays(arrays: Mapping[str, NDArray[np.float64]]) -> ForcedChoice:
        return ForcedChoice(arrays["per_token"], arrays["at_parting"])


def completions_of(pairs: Sequence[Pair]) -> list[Completion]:
    """Positive and negative completion of every pair, alternating."""
    return [Completion(pair.messages, text) for pair in pairs for text in (pair.positive, pair.negative)]


def _at_parting(positive: Scored, negative: Scored) -> float:
    for p, n, lp, ln in zip(positive.tokens, negative.tokens, positive.log_probabilities, negative.log_probabilities, strict=False):
        if p != n:
            return float(lp - ln)
    raise ValueError("one completion is the beginning of the other: they never part")


def from_scores(scores: Sequence[Scored]) -> ForcedChoice:
    """Turn scores of alternating positive and negative completions into log-odds."""
    both = list(zip(scores[::2], scores[1::2], strict=True))
    return ForcedChoice(
        np.array([p.per_token - n.per_token for p, n in both]),
        np.array([_at_parting(p, n) for p, n in both]),
    )


def forced_choice(engine: Engine, subject: Subject, pairs: Sequence[Pair], steering: Steering | None = None) -> ForcedChoice:
    """Score both completions of every pair."""
    return from_scores(engine.score(subject, completions_of(pairs), steering))
