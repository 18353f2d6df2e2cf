"""What changed between two cycles of the history, check by check.

Levels are compared: where an estimate is itself a difference from an earlier cycle, the tested subject's own value is subtracted instead.
What was determined by anything else than the subject, or held against something else, is not subtracted at all. The difference has no
interval (Q4 pairs the scenarios and has one), so it says where to look, not that something changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.data.measurement import Level
from harness.gate.history.comparable import differences
from harness.gate.history.records import Record, known_cycle

MOST_MOVERS = 3


@dataclass(frozen=True)
class Change:
    """One check in two cycles."""

    key: str
    """Check and behavior, "q5.effect[listening]"."""
    before: Record | None
    """None where the first cycle did not measure it."""
    after: Record | None
    """None where the second cycle did not measure it."""

    @property
    def why_not(self) -> str | None:
        """Why the two are not subtracted, in words; None where they are, and where a cycle did not measure it."""
        if self.before is None or self.after is None:
            return None
        if others := differences(self.before.provenance, self.after.provenance):
            return f"measured with {' and '.join(others)}"
        if self.before.level is not None and self.after.level is not None:
            return None  # levels are not held against anything
        held = [(record.gate_row or {}).get("null") or {} for record in (self.before, self.after)]
        kinds = [null.get("kind") for null in held]
        return None if kinds[0] == kinds[1] else f"held against another thing ({kinds[0]}, now {kinds[1]})"

    @property
    def levels(self) -> tuple[Level, Level] | None:
        """What is subtracted, before and after; None where a number is missing, or the two may not be compared."""
        if self.why_not is not None or self.before is None or self.after is None:
            return None
        before, after = self.before.followed, self.after.followed
        return None if before is None or after is None else (before, after)

    @property
    def difference(self) -> float | None:
        """After minus before, in the unit of the levels; None where there are none."""
        return None if self.levels is None else self.levels[1].value - self.levels[0].value

    @property
    def movers(self) -> dict[str, float]:
        """Scenario id to after minus before, of the scenarios that changed most; empty where the two may not be compared."""
        if self.why_not is not None or self.before is None or self.after is None:
            return {}
        old, new = self.before.per_scenario, self.after.per_scenario
        moved = {id: new[id] - old[id] for id in old if id in new and old[id] is not None and new[id] is not None and new[id] != old[id]}
        return {id: moved[id] for id in sorted(moved, key=lambda id: -abs(moved[id]))[:MOST_MOVERS]}


def compare(history: Path, before: str, after: str) -> tuple[Change, ...]:
    """Every check that either cycle measured; InputError for an unknown cycle."""
    old, new = known_cycle(history, before), known_cycle(history, after)
    keys = dict.fromkeys((*old.records, *new.records))
    return tuple(Change(key, old.records.get(key), new.records.get(key)) for key in keys)


def lines(changes: Iterable[Change]) -> list[str]:
    """One line a check, for a terminal."""
    return [_line(change) for change in changes]


def _line(change: Change) -> str:
    if change.before is None or change.after is None:
        only = "second" if change.before is None else "first"
        return f"{change.key}: only in the {only} cycle"
    old, new = change.before, change.after
    verdicts = new.verdict if old.verdict == new.verdict else f"{old.verdict} -> {new.verdict}"
    if change.why_not is not None:
        return f"{change.key}: {verdicts}; {change.why_not}: not compared"
    if change.levels is None:
        answers = new.answer if old.answer == new.answer else f"{old.answer} -> {new.answer}"
        return f"{change.key}: {verdicts}; {answers}"
    moved = ", ".join(f"{id} {value:+.3g}" for id, value in change.movers.items())
    moved = f"; moved most: {moved}" if moved else ""
    first, last = change.levels
    return f"{change.key}: {verdicts}; {first.value:.3g} -> {last.value:.3g} ({change.difference:+.3g}) {last.unit}".rstrip() + moved
