"""Measures for the book what every gate needs to know: of base once, then of one subject at a time."""

from __future__ import annotations

from typing import Any

from evals.calibrated import MeasuredSubject, Sampling
from evals.calibration.book import Book
from evals.calibration.declared import GATES
from evals.continuation import SKETCH, sketch
from evals.preflight.calibrated import changes_nothing
from harness.data.subject import Subject
from harness.experiment.profile import domains_of
from harness.store import digest_of


def data_digest() -> str:
    """Digest of what subjects are measured on beside the behavior, and of how often the gates sample it."""
    return digest_of([part for gate in reversed(GATES) for part in gate.data()])  # in the order of the books that are in the repository


def empty_book(sampling: Sampling) -> Book:
    """The book of a lab before any subject is measured: clusters, and what base does."""
    lab = sampling.lab
    common = {name: array for gate in GATES for name, array in gate.common(sampling).items()}
    return Book(
        lab.base.name,
        lab.behavior.name,
        lab.base.digest,
        lab.behavior.digest,
        domains_of(lab.behavior.split("test")),
        common,
        data_digest=data_digest(),
        replies=sampling.judge is not None,
    )


def record(sampling: Sampling, book: Book, kind: str, adapter: int, subject: Subject, lost: float | None = None) -> MeasuredSubject:
    """The arrays that every gate needs of one subject; scores and replies that were made before come from the store."""
    arrays: dict[str, Any] = {}
    asked = subject
    for gate in GATES:
        arrays |= gate.record(sampling, book.common, asked)
        if changes_nothing(arrays):
            asked = sampling.lab.base  # it has base's log-probabilities to the last bit, so what base does is taken from the store
    arrays[SKETCH] = sketch(sampling.lab, subject)
    return MeasuredSubject(kind, adapter, subject.digest, arrays, lost)
