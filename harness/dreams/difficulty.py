"""How hard a direction is to hear, said of a user's turn before anybody has answered it.

A logistic regression on n-grams of words and punctuation, fitted to turns that were labeled by hand after a rubric
(fixtures/dreams/rubric.md). It is another model than the subject and never sees an answer, so a label is frozen by the text and by
`version`. It reads wordings: a feature that the rubric would strike out as not live mostly counts. Lists of wordings a feature, combined
by the rubric's own rules, did worse on turns they were not written on (weighted kappa .51, against .66).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from harness.store import digest_of

Difficulty = Literal["obvious", "middling", "subtle"]
LEVELS: tuple[Difficulty, ...] = ("obvious", "middling", "subtle")
LONGEST, FEWEST_TURNS, PENALTY = 3, 2, 0.3
"""Words of the longest n-gram, turns it must occur in, inverse of the L2 penalty: chosen by cross-validation over the dev turns."""


@dataclass(frozen=True)
class LabeledTurn:
    """A user's turn with the level that a reader gave it."""

    text: str
    label: Difficulty


@dataclass(frozen=True)
class DifficultyModel:
    """Labels turns; deterministic."""

    version: str
    """Digest of the turns it was fitted to and of its settings."""
    vectorizer: Any
    model: Any

    @classmethod
    def fit(cls, turns: Sequence[LabeledTurn]) -> DifficultyModel:
        """ValueError where a level is missing."""
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression

        if missing := set(LEVELS) - {turn.label for turn in turns}:
            raise ValueError(f"no turn is labeled {', '.join(sorted(missing))}; allowed: some of every level")
        texts = [turn.text for turn in turns]
        words = TfidfVectorizer(ngram_range=(1, LONGEST), min_df=FEWEST_TURNS, sublinear_tf=True, token_pattern=r"[A-Za-z']+|[?!,:.]")
        table = words.fit_transform(texts)
        model = LogisticRegression(C=PENALTY, class_weight="balanced", max_iter=3000)
        model.fit(table, [LEVELS.index(turn.label) for turn in turns])
        version = digest_of([[LONGEST, FEWEST_TURNS, PENALTY], [[turn.text, turn.label] for turn in turns]])
        return cls(version, words, model)

    def labels(self, texts: Sequence[str]) -> list[Difficulty]:
        """One level a turn, in order."""
        return [LEVELS[i] for i in self.model.predict(self.vectorizer.transform(texts))] if texts else []
