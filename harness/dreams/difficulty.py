"""How hard the direction in a user's turn is to notice, predicted from the turn alone, before anybody has answered it.

A logistic regression on n-grams of words and punctuation, fitted to turns that were labeled by hand after a rubric
(fixtures/dreams/rubric.md). It does not use the model under test and never sees an answer: text and `version` determine the label. It
reads wordings, so it mostly counts a feature even where the rubric would not, because the feature plays no part in that turn. Lists of
wordings for each feature, combined by the rubric's own rules, did worse on turns they were not written for (weighted kappa .51, against
.66).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from harness.store import digest_of

Difficulty = Literal["obvious", "middling", "subtle"]
LEVELS: tuple[Difficulty, ...] = ("obvious", "middling", "subtle")
"""From easy to hard."""
LONGEST, FEWEST_TURNS, PENALTY = 3, 2, 0.3
"""Words in the longest n-gram, turns in which an n-gram must occur, inverse of the L2 penalty; chosen by cross-validation on dev turns."""


@dataclass(frozen=True)
class LabeledTurn:
    """A user's turn with the level that a person gave it."""

    text: str
    label: Difficulty


@dataclass(frozen=True)
class DifficultyModel:
    """A fitted classifier of turns; the same turn always gets the same label."""

    version: str
    """Digest of its settings and of the turns it was fitted to."""
    vectorizer: Any
    """scikit-learn's TfidfVectorizer, fitted."""
    model: Any
    """scikit-learn's LogisticRegression, fitted; its classes are places in LEVELS."""

    @classmethod
    def fit(cls, turns: Sequence[LabeledTurn]) -> DifficultyModel:
        """The model of these turns. ValueError where no turn has one of the levels."""
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
        """The level of each turn, in order."""
        return [LEVELS[i] for i in self.model.predict(self.vectorizer.transform(texts))] if texts else []
