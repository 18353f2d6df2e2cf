"""Gathers Q5's data once a behavior."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from evals.looks import until_decided
from evals.q5 import experiment
from harness.data.measurement import Measurement
from harness.experiment.lab import Lab


@pytest.fixture(scope="session")
def q5(lab: Lab) -> Mapping[str, Measurement]:
    """Q5's measurements by id."""
    return until_decided(lab, experiment.GROWS, lambda lab: experiment.measurements(experiment.run(lab)))
