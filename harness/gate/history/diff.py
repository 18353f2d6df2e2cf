"""What changed between two cycles of the history, check by check.

Values measured on different data are never subtracted. The difference is that of the recorded estimates and has no interval (Q4
pairs the scenarios and has one), so it says where to look, not that something changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.data.errors import InputError
from harness.gate.history.records import Cycle, Record, cycle_names, read_cycle

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
    def same_data(self) -> bool:
        """Whether both cycles measured it, on the same data."""
        return self.before is not None and self.after is not None and self.before.data == self.after.data

    @property
    def difference(self) -> float | None:
        """After minus before, in the check's unit; None where a number is missing or the data differ."""
        if not self.same_data or self.before is None or self.after is None:
            return None
        if self.before.estimate is None or self.after.estimate is None:
            return None
        return self.after.estimate - self.before.estimate

    @property
    def movers(self) -> dict[str, float]:
        """Scenario id to after minus before, of the scenarios that changed most; empty where the data differ."""
        if not self.same_data or self.before is None or self.after is None:
            return {}
        old, new = self.before.per_scenario, self.after.per_scenario
        moved = {id: new[id] - old[id] for id in old if id in new and old[id] is not None and new[id] is not None and new[id] != old[id]}
        return {id: moved[id] for id in sorted(moved, key=lambda id: -abs(moved[id]))[:MOST_MOVERS]}


def compare(history: Path, before: str, after: str) -> tuple[Change, ...]:
    """Every check that either cycle measured; InputError for an unknown cycle."""
    old, new = _known(history, before), _known(history, after)
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
    if not change.same_data:
        return f"{change.key}: {verdicts}; measured on other data, not compared"
    if change.difference is None:
        answers = new.answer if old.answer == new.answer else f"{old.answer} -> {new.answer}"
        return f"{change.key}: {verdicts}; {answers}"
    moved = ", ".join(f"{id} {value:+.3g}" for id, value in change.movers.items())
    moved = f"; moved most: {moved}" if moved else ""
    return (
        f"{change.key}: {verdicts}; {old.estimate:.3g} -> {new.estimate:.3g} ({change.difference:+.3g}) {new.unit or ''}".rstrip() + moved
    )


def _known(history: Path, cycle: str) -> Cycle:
    found = read_cycle(history, cycle)
    if found is None:
        raise InputError(f"cycle {cycle}: not in {history}; recorded last: {', '.join(cycle_names(history)[-5:]) or 'none'}")
    return found
