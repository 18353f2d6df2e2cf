"""`q7("q7.separation")` measures one of Q7's checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from evals.q7.study import Study
    from evals.question import Question
    from harness.experiment.lab import Lab


@pytest.fixture(scope="package")
def q7(lab: Lab) -> Question[Study]:
    """All of it rests on what no engine but hf shows."""
    from evals.q7.checks import MEASURES, known  # here: collecting tests loads no torch
    from evals.q7.study import Study
    from evals.question import Question
    from fixtures import corpora

    texts = corpora.digest(corpora.neutral(), corpora.general(), corpora.reports())
    return Question(lab.on_hf(), Study, MEASURES, known=known, rests_on=lambda _: {"corpora": texts})
