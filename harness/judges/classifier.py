"""A logistic regression on sparse features, kept as its weights: the same on every machine, and thousands of replies a second."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Features = Mapping[str, float]
"""Value by name; what is not named is 0."""


@dataclass(frozen=True)
class Classifier:
    """Probability of class 1 against class 0."""

    weights: Mapping[str, float]
    intercept: float

    @classmethod
    def fit(cls, rows: Sequence[Features], labels: Sequence[int], penalty: float) -> Classifier:
        """Both classes count the same, whatever their sizes; `penalty` is the inverse of the L2 penalty. `labels` are 0 and 1."""
        import numpy as np
        from sklearn.feature_extraction import DictVectorizer
        from sklearn.linear_model import LogisticRegression

        vectorizer = DictVectorizer()
        table = vectorizer.fit_transform(rows)
        table.indices, table.indptr = table.indices.astype(np.int32), table.indptr.astype(np.int32)  # all that liblinear reads
        model = LogisticRegression(C=penalty, solver="liblinear", class_weight="balanced", random_state=0).fit(table, labels)
        weights = dict(zip(vectorizer.get_feature_names_out().tolist(), model.coef_[0].tolist(), strict=True))
        return cls(weights, float(model.intercept_[0]))

    def log_odds(self, row: Features) -> float:
        """Log-odds of class 1, nats. A feature that the fit never saw counts nothing."""
        return self.intercept + sum(self.weights.get(name, 0.0) * value for name, value in row.items())

    def probability(self, row: Features) -> float:
        """Probability of class 1, 0 to 1."""
        return 1 / (1 + math.exp(-max(-500.0, min(500.0, self.log_odds(row)))))
