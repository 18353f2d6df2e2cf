"""Values of an earlier cycle, read from the history: refused, never compared, where they were measured on something else.

Two cycles can be a baseline. The accepted one is the last that `python -m harness accept` took: against it a single step is judged. The
pinned one moves only by `python -m harness pin`: against it slow decay is judged, which no single step shows, and what training costs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.data.arrays import Floats
from harness.experiment.lab import Lab
from harness.gate.history import records as history
from harness.gate.history.records import Record, read_cycle

SAME = ("base", "behavior", "profile", "engine")
"""What must be equal for two cycles to be compared."""


class NotComparable(ValueError):
    """The baseline was measured on other data; the message says what differs."""


@dataclass(frozen=True)
class Earlier:
    """One check of an earlier cycle."""

    cycle: str
    subject: str
    """Digest of what was measured then."""
    values: Mapping[str, float]
    """By scenario, document or task, against base."""

    def of(self, ids: Sequence[str]) -> Floats:
        return np.array([self.values[id] for id in ids], dtype=np.float64)


def accepted_cycle(lab: Lab) -> str | None:
    """The cycle that a candidate's step is judged against; None without a candidate, or before one is accepted."""
    if lab.candidate is None:
        return None
    return lab.settings.baseline or history.last_accepted(lab.settings.history_path)


def pinned_cycle(lab: Lab) -> str | None:
    """The cycle that drift and cost are judged against; None without a candidate, or before one is pinned."""
    return None if lab.candidate is None else history.pinned(lab.settings.history_path)


def record_of(lab: Lab, cycle: str, id: str) -> Record | None:
    known = read_cycle(lab.settings.history_path, cycle)
    return None if known is None else known.records.get(f"{id}[{lab.behavior.name}]")


def same_data(record: Record, provenance: Mapping[str, str]) -> bool:
    return all(record.provenance.get(name) == provenance[name] for name in SAME)


def earlier(lab: Lab, cycle: str, id: str, ids: Sequence[str]) -> Earlier:
    """What a cycle measured for check `id`; NotComparable where it did not, or on other data."""
    provenance = lab.measurement(id, "").provenance
    record = record_of(lab, cycle, id)
    if record is None:
        raise NotComparable(f"cycle {cycle} has no {id}[{lab.behavior.name}]: run it on that cycle's candidate, or name another")
    for name in SAME:
        if record.provenance.get(name) != provenance[name]:
            raise NotComparable(
                f"cycle {cycle} was measured with another {name} ({record.provenance.get(name)}, now {provenance[name]}): "
                "run it again on that cycle's candidate, or name another (--baseline, or python -m harness pin)"
            )
    missing = [each for each in ids if record.per_scenario.get(each) is None]
    if missing:
        raise NotComparable(f"cycle {cycle} has no value for {len(missing)} of {len(ids)} scenarios, the first {missing[0]}")
    return Earlier(cycle, record.provenance.get("subject", ""), record.per_scenario)
