"""`q6("q6.code")` measures one of Q6's checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from evals.q6.study import Study
    from evals.question import Question
    from harness.experiment.lab import Lab


@pytest.fixture(scope="package")
def q6(lab: Lab) -> Question[Study]:
    """Samples grow until a gate is decided, not scenarios, so no check is looked at again as a whole."""
    from evals.q6.checks import MEASURES, known  # here: collecting tests loads no torch
    from evals.q6.study import Study
    from evals.question import Question

    return Question(lab, Study, MEASURES, known=known)
