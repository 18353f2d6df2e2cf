"""The `gate` fixture's object: judges a measurement, records the entry, then ends the test the way the verdict says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest

from harness.data.errors import InstrumentError
from harness.data.measurement import Measurement
from harness.data.verdict import Verdict
from harness.gate import options
from harness.gate.verdict.entry import Entry
from harness.gate.verdict.judged import KINDS, Check, judged, needs_of, resting_on
from harness.gate.verdict.thresholds import Thresholds


class GateFailure(AssertionError):
    """The verdict is fail."""


class Inconclusive(Exception):
    """The verdict is inconclusive. The message starts with INCONCLUSIVE, the word that the report's category looks for."""


@dataclass(frozen=True)
class Gate:
    """Hand it the measurement: `gate.judge(q5("q5.effect"))`."""

    check: Check
    """What the test's marker says."""
    subject: str
    """Name under which thresholds.toml has overrides."""
    thresholds: Thresholds
    """What is expected of every check."""
    preflight: Mapping[str, Entry]
    """Entries of this behavior's preflight, by id."""
    record: Callable[[Entry], None]
    """Keeps an entry for the test's report."""

    def __repr__(self) -> str:
        return f"Gate({self.check.key})"

    def judge(self, measurement: Measurement) -> None:
        """Records the entry, then raises as the verdict says: see `end_test`. InstrumentError for a measurement of another check."""
        __tracebackhide__ = True
        if measurement.id != self.check.id:
            raise InstrumentError(f"the test is marked {self.check.id} but hands in {measurement.id}")
        entry = resting_on(self.preflight, judged(measurement, self.check, self.subject, self.thresholds))
        self.record(entry)
        end_test(entry.verdict)


def check_of(item: pytest.Item) -> Check | None:
    """What the marker of a test says; None for a test that is no eval."""
    marker = next((marker for kind in KINDS for marker in item.iter_markers(kind)), None)
    if marker is None:
        return None
    id = marker.args[0] if marker.args else marker.kwargs.get("id", item.name)
    callspec = getattr(item, "callspec", None)
    behavior = None if callspec is None else callspec.params.get("behavior")
    return Check(
        id=str(id),
        kind=next(kind for kind in KINDS if kind == marker.name),
        needs=needs_of(str(id), marker.kwargs.get("needs", ())),
        nodeid=item.nodeid,
        behavior=None if behavior is None else options.behavior_name(str(behavior)),
    )


def end_test(verdict: Verdict) -> None:
    """Ends the running test: GateFailure, Inconclusive, InstrumentError or pytest's skip. Returns where the verdict is pass or settled."""
    __tracebackhide__ = True
    if verdict.outcome == "fail":
        raise GateFailure(verdict.message)
    if verdict.outcome == "inconclusive":
        raise Inconclusive(f"INCONCLUSIVE: {verdict.message}")
    if verdict.outcome == "not_applicable":
        pytest.skip(f"not applicable: {verdict.message}")
    if verdict.outcome == "error":
        raise InstrumentError(verdict.message)
