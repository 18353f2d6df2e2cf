"""Gathers Q6's data once a behavior."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from evals.q6 import experiment
from harness.data.measurement import Measurement
from harness.experiment.lab import Lab
from harness.tasks.lm_eval_results import read_paired


@pytest.fixture(scope="session")
def q6(lab: Lab) -> Mapping[str, Measurement]:
    """Q6's measurements by id."""
    outside = read_paired(*lab.settings.lm_eval) if lab.settings.lm_eval else ()
    return experiment.measurements(experiment.run(lab, outside))
