"""The `gate` fixture's object: judges a measurement, records the entry, then ends the test the way the verdict says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import pytest

from harness.data.errors import InstrumentError
from harness.data.measurement import Measurement
from harness.data.threshold import Kind
from harness.data.verdict import Verdict
from harness.gate.verdict.entry import Entry
from harness.gate.verdict.thresholds import Thresholds
from harness.gate.verdict.verdicts import verdict_on

PREFLIGHT = "preflight"
NEEDED_BY_ALL = ("preflight.finite", "preflight.data")
KINDS: tuple[Kind, ...] = ("gate", "check", "finding")


class GateFailure(AssertionError):
    """The verdict is fail."""


class Inconclusive(Exception):
    """The verdict is inconclusive; the message starts with that word, which the report's category looks for."""


@dataclass(frozen=True)
class Check:
    """What a test's marker says: @pytest.mark.check("q5.effect", needs=("preflight.judge",))."""

    id: str
    kind: Kind
    """The marker's name; what thresholds.toml says of the id wins in the entry."""
    needs: tuple[str, ...]
    nodeid: str
    behavior: str | None = None

    @property
    def is_preflight(self) -> bool:
        return self.id.split(".")[0] == PREFLIGHT

    @property
    def key(self) -> str:
        return self.id if self.behavior is None else f"{self.id}[{self.behavior}]"


def needs_of(id: str, named: Sequence[str]) -> tuple[str, ...]:
    """What a check rests on: what its marker names and what everything rests on; a preflight check rests on nothing."""
    return tuple(named) if id.startswith(f"{PREFLIGHT}.") else tuple(dict.fromkeys((*NEEDED_BY_ALL, *named)))


@dataclass(frozen=True)
class Gate:
    """Hand it the measurement: `gate.judge(q5.effect)`. The preflight entries stand beside, by id."""

    check: Check
    subject: str
    thresholds: Thresholds
    preflight: Mapping[str, Entry]
    record: Callable[[Entry], None]

    def __repr__(self) -> str:
        return f"Gate({self.check.key})"

    def judge(self, measurement: Measurement) -> None:
        """Records the entry; raises GateFailure, Inconclusive or pytest's skip as the verdict says."""
        __tracebackhide__ = True
        if measurement.id != self.check.id:
            raise InstrumentError(f"the test is marked {self.check.id} but hands in {measurement.id}")
        entry = resting_on(self.preflight, judged(measurement, self.check, self.subject, self.thresholds))
        self.record(entry)
        end_test(entry.verdict)


def resting_on(preflight: Mapping[str, Entry], entry: Entry) -> Entry:
    """The entry; inconclusive where what it needs of preflight was not measured, failed or broke."""
    reasons = []
    for id in entry.needs:
        needed = preflight.get(id)
        if needed is None:
            reasons.append(f"{id}, which preflight did not measure")
        elif needed.verdict.outcome in ("fail", "error"):
            reasons.append(f"{id}, which came out {needed.verdict.outcome}")
    if not reasons or entry.verdict.outcome in ("not_applicable", "error"):
        return entry
    message = f"{entry.id} rests on {' and on '.join(reasons)}: mend that first, then this number means something."
    return replace(entry, verdict=Verdict("inconclusive", entry.verdict.answer, message))


def judged(measurement: Measurement, check: Check | None, subject: str, thresholds: Thresholds) -> Entry:
    """The entry of a measurement; `check` is None for a preflight measurement that came along with another test."""
    behavior = measurement.behavior or None
    threshold = thresholds.for_check(measurement.id, subject, behavior)
    return Entry(
        id=measurement.id,
        behavior=behavior,
        kind="finding" if threshold is None else threshold.kind,
        verdict=verdict_on(measurement, threshold),
        measurement=measurement,
        threshold=threshold,
        nodeid=None if check is None else check.nodeid,
        needs=() if check is None or check.is_preflight else check.needs,
    )


def error_entry(check: Check, subject: str, thresholds: Thresholds | None, message: str) -> Entry:
    """The entry of a check whose instrument broke."""
    threshold = None if thresholds is None else thresholds.for_check(check.id, subject, check.behavior)
    verdict = Verdict("error", "-", f"{check.id} was not measured: {one_line(message)}.")
    return Entry(check.id, check.behavior, threshold.kind if threshold else check.kind, verdict, threshold=threshold, nodeid=check.nodeid)


def by_id(entries: Iterable[Entry]) -> dict[str, Entry]:
    return {entry.id: entry for entry in entries}


def end_test(verdict: Verdict) -> None:
    """Ends the running test as the verdict says; returns where there is nothing to complain about."""
    __tracebackhide__ = True
    if verdict.outcome == "fail":
        raise GateFailure(verdict.message)
    if verdict.outcome == "inconclusive":
        raise Inconclusive(f"INCONCLUSIVE: {verdict.message}")
    if verdict.outcome == "not_applicable":
        pytest.skip(f"not applicable: {verdict.message}")
    if verdict.outcome == "error":
        raise InstrumentError(verdict.message)


def one_line(text: str) -> str:
    """The first line that says something, without its full stop."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else "no message"
