"""`measured("preflight.data")` is one of preflight's measurements; the session fixture `preflight` makes them all, once a behavior."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.data.behavior import Behavior
from harness.data.measurement import Measurement


@pytest.fixture(scope="session")
def measured(preflight: Callable[[str], tuple[Measurement, ...]], behavior: Behavior) -> Callable[[str], Measurement]:
    """KeyError for an id that preflight does not measure."""
    by_id = {measurement.id: measurement for measurement in preflight(behavior.name)}
    return by_id.__getitem__
