"""`q5("q5.effect")` measures one of Q5's checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from evals.q5.study import Study
    from evals.question import Question
    from harness.experiment.lab import Lab


@pytest.fixture(scope="package")
def q5(lab: Lab) -> Question[Study]:
    """Measured on base; a candidate only stands beside it."""
    from evals.q5.checks import MEASURES  # here: collecting tests loads no torch
    from evals.q5.design import GROWS
    from evals.q5.study import Study
    from evals.question import Question
    from fixtures import corpora

    texts = corpora.digest(corpora.prose(), corpora.directions_not_to_take(), corpora.sentiment().pairs)
    return Question(lab, Study, MEASURES, grows=GROWS, rests_on=lambda _: {"corpora": texts})
