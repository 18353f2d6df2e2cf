"""What earlier cycles left in the history: the accepted cycle's log-odds and the probes that were flagged since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.data.behavior import Pair
from harness.gate.history import Record, cycle_names, last_accepted, read_cycle
from harness.lab import Lab


class NotComparable(ValueError):
    """The baseline was measured on other data; the message says what differs."""


@dataclass(frozen=True)
class Probes:
    """How many fresh probes of a cycle were flagged."""

    cycle: str
    flagged: int
    probes: int


@dataclass(frozen=True)
class Baseline:
    """The accepted cycle."""

    cycle: str
    shift: NDArray[np.float64]
    """Log-odds above base's, nats, [test pairs]."""
    probes: tuple[Probes, ...]
    """Of the accepted cycle first, then of every cycle after it but this one."""


def accepted(lab: Lab, pairs: tuple[Pair, ...], provenance: Mapping[str, str]) -> Baseline | None:
    """The cycle to compare with; None where none is accepted. NotComparable where it was measured on other data."""
    settings = lab.settings
    name = settings.baseline or last_accepted(settings.history_path)
    if name is None:
        return None
    record = _record(lab, name, "q4.regression")
    if record is None:
        raise NotComparable(f"cycle {name} has no q4.regression[{lab.behavior.name}]: run it on that cycle's candidate, or name another")
    _check(record, name, provenance)
    missing = [pair.id for pair in pairs if pair.id not in record.per_scenario]
    if missing:
        raise NotComparable(f"cycle {name} has no value for {len(missing)} of {len(pairs)} scenarios, the first {missing[0]}")
    names = cycle_names(settings.history_path)
    since = [each for each in names[names.index(name) :] if each != settings.cycle]
    found = ((each, _record(lab, each, "q4.detection")) for each in since)
    probes = [_probes(each, record) for each, record in found if record is not None and _same(record, provenance)]
    return Baseline(name, np.array([record.per_scenario[pair.id] for pair in pairs]), tuple(p for p in probes if p is not None))


def _record(lab: Lab, cycle: str, id: str) -> Record | None:
    known = read_cycle(lab.settings.history_path, cycle)
    return None if known is None else known.records.get(f"{id}[{lab.behavior.name}]")


def _same(record: Record, provenance: Mapping[str, str]) -> bool:
    return all(record.provenance.get(name) == provenance[name] for name in ("base", "behavior", "profile"))


def _check(record: Record, cycle: str, provenance: Mapping[str, str]) -> None:
    for name in ("base", "behavior", "profile"):
        if record.provenance.get(name) != provenance[name]:
            raise NotComparable(
                f"cycle {cycle} was measured with another {name} ({record.provenance.get(name)}, now {provenance[name]}): "
                "run it again on that cycle's candidate, or name another with --baseline"
            )


def _probes(cycle: str, record: Record) -> Probes | None:
    row = next((row for row in record.series if row.get("cell") == "probes of this cycle"), None)
    return None if row is None else Probes(cycle, int(row["flagged"]), int(row["probes"]))
