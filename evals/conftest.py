"""What every question needs beside the session fixtures: preflight, whose entries stand in every gate.json."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from harness.behaviors.files import load_behavior
from harness.behaviors.shipped import resolve_behavior, shipped_behaviors
from harness.data.behavior import Behavior
from harness.data.measurement import Measurement
from harness.data.settings import Settings

if TYPE_CHECKING:
    from harness.experiment.lab import Lab


@pytest.fixture(scope="session")
def preflight(laboratory: Callable[[Behavior], Lab], settings: Settings) -> Callable[[str], tuple[Measurement, ...]]:
    """`preflight(behavior's name)` measures once a behavior: is the instrument fit to judge anything?"""
    from evals.preflight.checks import measure

    folders = [resolve_behavior(one) for one in (*shipped_behaviors(), *settings.behaviors)]
    named = {load_behavior(folder).name: folder for folder in folders}
    done: dict[str, tuple[Measurement, ...]] = {}

    def of(name: str) -> tuple[Measurement, ...]:
        if name not in done:
            done[name] = measure(laboratory(load_behavior(named[name])))
        return done[name]

    return of
