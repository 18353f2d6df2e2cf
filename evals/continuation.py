"""Whether the candidate goes on from an earlier cycle. Its weights tell: a continuation keeps most of what the earlier cycle changed.

How much two trainings differ by luck depends on it: one that goes on from the other differs far less than one begun anew on the same data.
"""

from __future__ import annotations

from harness.analysis.sketches import as_text, from_text, goes_on
from harness.data.arrays import Floats
from harness.data.subject import Subject
from harness.experiment.lab import Lab
from harness.gate.history.records import Record

SKETCH = "sketch"
"""Name under which the sketch of the tested weights stands in a provenance, and among a calibration's arrays."""


def sketch(lab: Lab, subject: Subject) -> Floats:
    """What `subject` changed of base's weights, [entries]; made once and kept in the store."""

    def made() -> str:
        from harness.readouts.weight_sketch import weight_sketch  # here: it loads torch, which a warm run does not need

        return as_text(weight_sketch(lab.base, subject))

    return from_text(lab.store.json("sketches", {"base": lab.base.digest, "subject": subject.digest, "version": 1}, made))


def continues(lab: Lab, record: Record | None) -> bool:
    """Whether the candidate goes on from the cycle that `record` is of, which holds its sketch; False where that is not known."""
    if record is None or lab.candidate is None:
        return False
    if record.provenance.get("subject") == lab.candidate.digest:
        return True
    earlier = record.provenance.get(SKETCH)
    return earlier is not None and goes_on(from_text(earlier), sketch(lab, lab.candidate))
