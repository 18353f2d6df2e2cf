"""`q3("q3.rank")` measures one of Q3's checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from evals.q3.study import Study
    from evals.question import Question
    from harness.experiment.lab import Lab


@pytest.fixture(scope="package")
def q3(lab: Lab) -> Question[Study]:
    """All of it rests on what no engine but hf shows."""
    from evals.q3.checks import MEASURES, known  # here: collecting tests loads no torch
    from evals.q3.study import Study
    from evals.question import Question
    from fixtures import corpora

    texts = corpora.digest(corpora.neutral())
    return Question(lab.on_hf(), Study, MEASURES, known=known, rests_on=lambda _: {"corpora": texts})
