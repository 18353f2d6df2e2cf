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
    """`preflight(name)` gives the preflight measurements of the behavior with this name, measured when first asked for."""
    from evals.preflight.checks import measure

    folders = [resolve_behavior(one) for one in (*shipped_behaviors(), *settings.behaviors)]
    named = {load_behavior(folder).name: folder for folder in folders}
    done: dict[str, tuple[Measurement, ...]] = {}

    def of(name: str) -> tuple[Measurement, ...]:
        if name not in done:
            done[name] = measure(laboratory(load_behavior(named[name])))
        return done[name]

    return of


LONGEST_FIRST = ("q1", "q3", "q7", "q4", "q5", "q6", "q2")
"""Questions by the time they take from an empty store, as measured: with several workers the longest must not be the last to begin.

pytest-xdist keeps this order only under --no-loadscope-reorder.
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Orders the questions as LONGEST_FIRST does. All other tests, those of preflight among them, come after, in the order they had."""
    items.sort(key=lambda item: LONGEST_FIRST.index(name) if (name := item.path.parent.name) in LONGEST_FIRST else len(LONGEST_FIRST))
