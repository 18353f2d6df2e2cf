"""What an earlier cycle measured, read from the history. Values that were measured on other data are refused and never compared.

Two cycles can be a baseline. A single step is judged against the accepted cycle: the last one that `python -m harness accept` took. Slow
decay and the cost of training, which no single step shows, are judged against the pinned cycle; only `python -m harness pin` moves the pin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evals.continuation import continues
from harness.data.arrays import Floats
from harness.experiment.lab import Lab
from harness.gate.history import records as history
from harness.gate.history.comparable import differences
from harness.gate.history.records import Record, read_cycle

RECORD_OF_WEIGHTS = "q4.regression"
"""The check whose record holds a cycle's sketch of weights."""


class NotComparable(ValueError):
    """The baseline was measured on other data; the message says what differs."""


@dataclass(frozen=True)
class Earlier:
    """What one check measured in an earlier cycle."""

    cycle: str
    """The cycle's name."""
    subject: str
    """Digest of the subject that was tested then."""
    values: Mapping[str, float]
    """Id of a scenario, document or task to its value, as the check recorded it per scenario."""
    continued: bool = False
    """Whether the candidate's weights go on from this cycle's."""

    def of(self, ids: Sequence[str]) -> Floats:
        """The values of these ids, [ids]; KeyError for one that was not measured."""
        return np.array([self.values[id] for id in ids], dtype=np.float64)


def accepted_cycle(lab: Lab) -> str | None:
    """The cycle that a candidate is compared with: --baseline, else the one accepted last. None without either, and without a candidate."""
    if lab.candidate is None:
        return None
    return lab.settings.baseline or history.last_accepted(lab.settings.history_path)


def pinned_cycle(lab: Lab) -> str | None:
    """The cycle that drift and cost are judged against. None without a candidate, and before a cycle is pinned."""
    return None if lab.candidate is None else history.pinned(lab.settings.history_path)


def record_of(lab: Lab, cycle: str, id: str) -> Record | None:
    """What the history has of a check of this behavior in a cycle; None where it has nothing."""
    known = read_cycle(lab.settings.history_path, cycle)
    return None if known is None else known.records.get(f"{id}[{lab.behavior.name}]")


def earlier(lab: Lab, cycle: str, id: str, ids: Sequence[str], rests_on: Mapping[str, str] | None = None) -> Earlier:
    """What a cycle measured for check `id` in the scenarios `ids`; `rests_on` is what today's measurement of it names as its provenance.

    NotComparable where the cycle lacks one of the scenarios, or anything but the subject was another.
    """
    record = record_of(lab, cycle, id)
    if record is None:
        raise NotComparable(f"cycle {cycle} has no {id}[{lab.behavior.name}]: run it on that cycle's candidate, or name another")
    if others := differences(record.provenance, lab.provenance(rests_on)):
        raise NotComparable(
            f"cycle {cycle} was measured with {' and '.join(others)}: "
            "run it again on that cycle's candidate, or name another (--baseline, or python -m harness pin)"
        )
    missing = [each for each in ids if record.per_scenario.get(each) is None]
    if missing:
        raise NotComparable(f"cycle {cycle} has no value for {len(missing)} of {len(ids)} scenarios, the first {missing[0]}")
    continued = continues(lab, record_of(lab, cycle, RECORD_OF_WEIGHTS))
    return Earlier(cycle, record.provenance.get("subject", ""), record.per_scenario, continued)
