"""`q2("q2.calibration")` measures one of Q2's checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from evals.q2.study import Study
    from evals.question import Question
    from harness.experiment.lab import Lab
    from harness.memory.graph import MemoryGraph


@pytest.fixture(scope="package")
def q2(lab: Lab, memory: MemoryGraph) -> Question[Study]:
    """Scenarios are dreamed over the memory graph of this run."""
    from functools import partial

    from evals.q2.checks import MEASURES  # here: collecting tests loads no torch
    from evals.q2.study import Study, loop_of
    from evals.question import Question
    from harness.judges.chosen import judge_for

    def study(lab: Lab) -> Study:
        return Study(lab, memory, partial(loop_of, lab), partial(judge_for, lab.settings, lab.behavior, lab.store))

    return Question(lab, study, MEASURES, rests_on=Study.rests_on)
