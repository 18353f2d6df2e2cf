"""`q7("q7.separation")` measures one of Q7's checks."""

from __future__ import annotations

import pytest

from evals.q7.checks import MEASURES, known
from evals.q7.study import Study
from evals.question import Question
from harness.experiment.lab import Lab


@pytest.fixture(scope="session")
def q7(lab: Lab) -> Question[Study]:
    """All of it rests on what no engine but hf shows."""
    return Question(lab.on_hf(), Study, MEASURES, known=known)
