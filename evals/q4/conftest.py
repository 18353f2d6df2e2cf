"""`q4("q4.flagging")` measures one of Q4's checks, and trains and asks nothing that this check does not need."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from evals.q4.study import Study
    from evals.question import Question
    from harness.experiment.lab import Lab
    from harness.memory.graph import MemoryGraph


@pytest.fixture(scope="package")
def q4(lab: Lab, memory: MemoryGraph) -> Question[Study]:
    """The agents are those of the command line, or the embedded ones."""
    from evals.q4.agents import study_of  # here: collecting tests loads no torch
    from evals.q4.checks import MEASURES, known
    from evals.question import Question

    return Question(lab, lambda lab: study_of(lab, memory), MEASURES, known=known)
