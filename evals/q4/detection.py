"""The probes that were flagged since the accepted cycle, for the control chart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evals.baseline import accepted_cycle, earlier, record_of, same_data
from harness.data.behavior import Pair
from harness.experiment.lab import Lab
from harness.gate.history.records import Record, cycle_names


@dataclass(frozen=True)
class Probes:
    """How many fresh probes of a cycle were flagged."""

    cycle: str
    flagged: int
    probes: int


def probes_since(lab: Lab, pairs: tuple[Pair, ...], provenance: Mapping[str, str]) -> tuple[Probes, ...]:
    """Of the accepted cycle first, then of every cycle after it but this one; empty where none is accepted.

    NotComparable where the accepted cycle was measured on other data.
    """
    name = accepted_cycle(lab)
    if name is None:
        return ()
    earlier(lab, name, "q4.regression", [pair.id for pair in pairs])
    names = cycle_names(lab.settings.history_path)
    since = [each for each in names[names.index(name) :] if each != lab.settings.cycle]
    found = ((each, record_of(lab, each, "q4.detection")) for each in since)
    probes = (_probes(each, record) for each, record in found if record is not None and same_data(record, provenance))
    return tuple(each for each in probes if each is not None)


def _probes(cycle: str, record: Record) -> Probes | None:
    row = next((row for row in record.series if row.get("cell") == "probes of this cycle"), None)
    return None if row is None else Probes(cycle, int(row["flagged"]), int(row["probes"]))
