"""The measurements of one behavior, by id; they are made by the session fixture that every other question uses too."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from harness.data.behavior import Behavior
from harness.data.measurement import Measurement


@pytest.fixture(scope="session")
def measured(preflight: Callable[[str], tuple[Measurement, ...]], behavior: Behavior) -> Mapping[str, Measurement]:
    return {measurement.id: measurement for measurement in preflight(behavior.name)}
