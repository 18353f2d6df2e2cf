"""`q1("q1.knee")` measures one of Q1's checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from evals.q1.study import Study
    from evals.question import Question
    from harness.experiment.lab import Lab


@pytest.fixture(scope="package")
def q1(lab: Lab) -> Question[Study]:
    """Under `--profile full` each check draws more scenarios until it is decided."""
    from evals.q1.checks import MEASURES, known  # here: collecting tests loads no torch
    from evals.q1.design import GROWS
    from evals.q1.study import Study
    from evals.question import Question
    from fixtures import corpora

    texts = corpora.digest(corpora.neutral())
    return Question(lab, Study, MEASURES, known=known, grows=GROWS, rests_on=lambda _: {"corpora": texts})
