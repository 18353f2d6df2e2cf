"""What every question needs beside the session fixtures: preflight, whose entries stand in every gate.json, and the order of the checks.

Several workers take the checks one by one, in order (`--dist load --maxschedchunk 1`). A check is no worker's alone: what it needs comes
from the store, and of the trainings and passes that two workers need at a time each does what the other is not at (`Store.in_any_order`).
So neighbors in the order should need the same things, and the small must come last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from harness.behaviors.files import load_behavior
from harness.behaviors.shipped import resolve_behavior, shipped_behaviors
from harness.data.behavior import Behavior
from harness.data.measurement import Measurement
from harness.data.settings import Settings
from harness.process.freed_memory import give_back

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


LONGEST_FIRST = ("q1", "q5", "q3", "q7", "q4", "q2", "q6")
"""Questions by the time they take from an empty store, as measured. With several workers one of many short checks is best the last."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Orders the questions as LONGEST_FIRST does. All other tests, those of preflight among them, come after, in the order they had."""
    items.sort(key=lambda item: LONGEST_FIRST.index(name) if (name := item.path.parent.name) in LONGEST_FIRST else len(LONGEST_FIRST))


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """After each check: the next one uses memory in other sizes, and other workers share the machine."""
    give_back()
