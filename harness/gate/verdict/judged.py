"""From a measurement to its entry: judged under its threshold, and inconclusive where a preflight check it rests on did not pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.data.measurement import Measurement
from harness.data.text import one_line
from harness.data.threshold import Kind
from harness.data.verdict import Outcome, Verdict
from harness.gate.verdict.entry import Entry
from harness.gate.verdict.thresholds import Thresholds
from harness.gate.verdict.verdicts import verdict_on

PREFLIGHT = "preflight"
"""The question whose checks are about the instrument; all other checks rest on some of them."""
NEEDED_BY_ALL = ("preflight.finite", "preflight.data")
"""Preflight checks that every other check rests on, whatever its marker names."""
SOUND: tuple[Outcome, ...] = ("pass", "settled", "not_applicable")
"""Outcomes of a preflight check on which others may rest."""
KINDS: tuple[Kind, ...] = ("gate", "check", "finding")
"""Names of the markers."""


@dataclass(frozen=True)
class Check:
    """What a test's marker says: @pytest.mark.check("q5.effect", needs=("preflight.judge",))."""

    id: str
    """Question and check with a dot between, as in thresholds.toml."""
    kind: Kind
    """The marker's name. The entry's kind is the one in thresholds.toml, where that names the check."""
    needs: tuple[str, ...]
    """Ids of the preflight checks it rests on."""
    nodeid: str
    """pytest's name of the test: file and function."""
    behavior: str | None = None
    """Name of the behavior; None for a check that is about none."""

    @property
    def is_preflight(self) -> bool:
        """Whether it is itself about the instrument."""
        return self.id.split(".")[0] == PREFLIGHT

    @property
    def key(self) -> str:
        """Identity in gate.json and in the history: "q5.effect[listening]"."""
        return self.id if self.behavior is None else f"{self.id}[{self.behavior}]"


def needs_of(id: str, named: Sequence[str]) -> tuple[str, ...]:
    """What a check rests on: what its marker names and what everything rests on. A preflight check rests on nothing else."""
    return tuple(named) if id.startswith(f"{PREFLIGHT}.") else tuple(dict.fromkeys((*NEEDED_BY_ALL, *named)))


def judged(measurement: Measurement, check: Check | None, subject: str, thresholds: Thresholds) -> Entry:
    """The entry of a measurement. `check` is None for a preflight measurement that came along with another test."""
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


def resting_on(preflight: Mapping[str, Entry], entry: Entry) -> Entry:
    """The entry; inconclusive where something it needs of `preflight` (by id) was not measured, or came out otherwise than SOUND."""
    reasons = []
    for id in entry.needs:
        needed = preflight.get(id)
        if needed is None:
            reasons.append(f"{id}, which preflight did not measure")
        elif needed.verdict.outcome not in SOUND:
            reasons.append(f"{id}, which came out {needed.verdict.outcome}")
    if not reasons or entry.verdict.outcome in ("not_applicable", "error"):
        return entry
    message = f"{entry.id} rests on {' and on '.join(reasons)}: mend that first, then this number means something."
    return replace(entry, verdict=Verdict("inconclusive", entry.verdict.answer, message))


def error_entry(check: Check, subject: str, thresholds: Thresholds | None, message: str) -> Entry:
    """The entry of a check whose instrument broke; `message` says how, and its first line is shown."""
    threshold = None if thresholds is None else thresholds.for_check(check.id, subject, check.behavior)
    verdict = Verdict("error", "-", f"{check.id} was not measured: {one_line(message).rstrip('.')}.")
    return Entry(check.id, check.behavior, threshold.kind if threshold else check.kind, verdict, threshold=threshold, nodeid=check.nodeid)


def by_id(entries: Iterable[Entry]) -> dict[str, Entry]:
    """Check id to entry, of one behavior."""
    return {entry.id: entry for entry in entries}
