"""May a cycle become the baseline? It needs every gate, all of them green, and rows that one subject, one judge and one seed gave.

A cycle may be recorded in several runs, so its rows may come from several candidates: then there is no subject that it is the record of.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from harness.data.errors import InputError
from harness.gate.history import records
from harness.gate.history.records import Cycle, Record
from harness.gate.verdict.thresholds import Thresholds
from harness.judges.anchors import DIGEST, NAME

ONE = ("subject", "base", "seed")
"""Provenance that all rows of a cycle share."""
ONE_OF_A_BEHAVIOR = (NAME, DIGEST)
"""Provenance that all rows of a behavior share, where they have it: the embedded judge is fitted to a behavior."""


def accept(path: Path, cycle: str, thresholds: Thresholds, force: str | None = None) -> None:
    """Make a cycle the baseline. InputError for an unknown cycle, and for one with obstacles where `force` gives no reason for it."""
    known = records.known_cycle(path, cycle)
    found, reason = obstacles(known, thresholds), (force or "").strip() or None
    if found and reason is None:
        raise InputError(f"cycle {cycle} is not green ({'; '.join(found)}); accept it only with --force REASON")
    waived = "; ".join(f"{record.key} waived: {record.waived}" for record in known.records.values() if record.waived is not None)
    records.accept(path, cycle, reason if found else waived or None)


def obstacles(cycle: Cycle, thresholds: Thresholds) -> tuple[str, ...]:
    """Why a cycle should not be accepted, a phrase each; empty where nothing stands in the way. `thresholds` says which gates it needs."""
    gates = [record for record in cycle.records.values() if record.kind == "gate"]
    blocking = [gate for gate in gates if gate.verdict not in ("pass", "not_applicable") and gate.waived is None]
    found = [f"{gate.key} is {gate.verdict}" for gate in blocking]
    found += [f"{gate.key} passes with a proven loss" for gate in gates if gate.proven_loss]
    if not any(gate.verdict == "pass" for gate in gates):
        found.append("no gate passed")
    if missing := [key for key in _expected(cycle, thresholds) if key not in cycle.records]:
        found.append(f"not run: {', '.join(missing)}")
    if not cycle.complete:
        found.append("its last run is not complete")
    return (*found, *_mixed(cycle))


def _expected(cycle: Cycle, thresholds: Thresholds) -> Iterator[str]:
    """Key of every gate that thresholds.toml names, for each behavior of the cycle."""
    under, subject = thresholds.under(cycle.profile), Path(cycle.base).name
    for behavior in dict.fromkeys(record.behavior for record in cycle.records.values()):
        for id in thresholds.gates:
            threshold = under.for_check(id, subject, behavior)
            if threshold is not None and threshold.kind == "gate":
                yield id if behavior is None else f"{id}[{behavior}]"


def _mixed(cycle: Cycle) -> Iterator[str]:
    """What rows of the cycle should share and do not."""
    rows = list(cycle.records.values())
    for name in ONE:
        yield from _disagreement(name, rows)
    for behavior in dict.fromkeys(row.behavior for row in rows):
        for name in ONE_OF_A_BEHAVIOR:
            yield from _disagreement(name, [row for row in rows if row.behavior == behavior])


def _disagreement(name: str, rows: Iterable[Record]) -> Iterator[str]:
    """A phrase where rows have different values of a name; each value is shown with the first row that has it."""
    first: dict[str, str] = {}
    for row in rows:
        if name in row.provenance:
            first.setdefault(row.provenance[name], row.key)
    if len(first) > 1:
        yield f"its rows come from more than one {name}: {', '.join(f'{value} in {key}' for value, key in first.items())}"
