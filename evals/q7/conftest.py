"""Gathers Q7's data once a behavior."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from evals.q7 import experiment
from harness.data.measurement import Measurement
from harness.experiment.lab import Lab


@pytest.fixture(scope="session")
def q7(lab: Lab) -> Mapping[str, Measurement]:
    """Q7's measurements by id."""
    lab = lab.on_hf()  # all of it rests on what no other engine shows
    if "linear_attention" not in lab.layer_kinds:
        return experiment.not_applicable(lab)
    if lab.identical:
        return experiment.no_change(lab)
    return experiment.measurements(experiment.run(lab))
