"""Records every subject of a calibration: trains what must be trained, breaks what must be broken, scores and samples. Resumable.

Everything expensive lies in the store; the book is written after every subject, and what is in it is not asked again. The good adapters
come first: without them nothing can be judged, with them every further plant adds a row.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from evals.calibrated import MeasuredSubject, Sampling
from evals.calibration.book import Book, load, save
from evals.calibration.doses import TOLERANCE, dose, judged_rate
from evals.calibration.plants import AMOUNTS, planted
from evals.calibration.recording import data_digest, empty_book, record
from evals.calibration.table import NEAR
from harness.arms.cycles import healthy
from harness.data.errors import InputError
from harness.data.subject import Subject
from harness.experiment.lab import Lab
from harness.judges.embedded import EmbeddedJudge
from harness.judges.judge import Judge

FALLS = (0.2, 0.1)
"""Falls of the judged rate for which a dose of counter-examples is sought; a target is about the first."""
POOL = 2
"""Good adapters get POOL times the gate's samples, so that each simulated run draws a fresh subset; plants get one set."""


@dataclass(frozen=True)
class Step:
    """One subject to be made and measured."""

    what: str
    """As progress names it."""
    missing: Callable[[Book], bool]
    """Whether the book does not have it yet."""
    make: Callable[[Book], MeasuredSubject]


@dataclass(frozen=True)
class Measuring:
    """The subjects of one calibration, in the order in which they are made and measured."""

    lab: Lab
    other: Lab
    """The lab of another behavior, whose good adapters are the wrong ones here."""
    adapters: int
    """Good adapters, one a seed from 0."""
    path: Path
    """File of the book."""
    say: Callable[[str], None]
    """Takes each line of progress."""
    replies: bool = True
    """Whether replies are sampled. Without them there is no code, no answer, and no k-point loss: its dose is found by judged rates."""
    until: float = float("inf")
    """time.monotonic() after which no further subject is begun."""

    def book(self) -> Book:
        """The book with everything in it, or as much as there was time for."""
        book = self._begun()
        steps = [*self._goods(), *self._plants()]
        for number, step in enumerate(steps, 1):
            if not step.missing(book):
                continue
            if time.monotonic() > self.until:
                self.say(f"time is up: {number - 1} of {len(steps)} steps are recorded; the same command goes on from here")
                break
            self.say(f"calibrate {self.lab.base.name} {self.lab.behavior.name}: {step.what} ({number} of {len(steps)})")
            book = replace(book, subjects=(*book.subjects, step.make(book)))
            save(book, self.path)
        return book

    def _begun(self) -> Book:
        if self.path.exists():
            known = load(self.path)
            wanted = (self.lab.base.digest, self.lab.behavior.digest, data_digest(), self.replies)
            if (known.base_digest, known.behavior_digest, known.data_digest, known.replies) == wanted:
                return known
            how = "without" if self.replies else "with"
            self.say(f"{self.path.name} is of other weights, another behavior or other tasks, or was recorded {how} replies: begun anew")
        self.say(f"calibrate {self.lab.base.name} {self.lab.behavior.name}: base")
        return empty_book(self._sampling(POOL))

    @cached_property
    def judge(self) -> Judge:
        """The embedded judge, whatever the settings: a calibration must be the same for everyone who repeats it."""
        return EmbeddedJudge.fit(self.lab.behavior)

    def _sampling(self, draws: int) -> Sampling:
        return Sampling(self.lab, self.judge if self.replies else None, draws)

    def _record(self, book: Book, kind: str, seed: int, subject: Subject, draws: int = 1, rate: float | None = None) -> MeasuredSubject:
        return record(self._sampling(draws), book, kind, seed, subject, rate)

    def _rate(self, subject: Subject) -> float | None:
        return judged_rate(self.lab, self.judge, subject) if self.replies else None

    def _good(self, seed: int) -> Subject:
        return healthy(self.lab.arms, seed)[0]

    def _goods(self) -> Iterator[Step]:
        for seed in range(self.adapters):

            def make(book: Book, seed: int = seed) -> MeasuredSubject:
                good = self._good(seed)
                return self._record(book, "good", seed, good, POOL, self._rate(good))

            yield Step(f"good adapter {seed + 1} of {self.adapters}", _lacks(("good",), seed), make)

    def _plants(self) -> Iterator[Step]:
        """The dose that a target is about and every other plant, adapter by adapter, so that all kinds grow together; then other doses."""
        falls = FALLS if self.replies else ()
        for seed in range(self.adapters):
            yield from (self._dosed(seed, k) for k in falls[:1])
            for kind in (*AMOUNTS, "wrong adapter"):
                yield self._broken(seed, kind)
        for k in falls[1:]:
            for seed in range(self.adapters):
                yield self._dosed(seed, k)

    def _dosed(self, seed: int, k: float) -> Step:
        kind, missed = f"{100 * k:g}-point loss", f"{NEAR}{100 * k:g}-point loss"

        def make(book: Book) -> MeasuredSubject:
            good = self._good(seed)
            found = dose(self.lab, self.judge, good, seed, k)
            named = kind if abs(found.fall - k) <= TOLERANCE else missed
            rate = judged_rate(self.lab, self.judge, good) - found.fall
            return self._record(book, named, seed, found.subject, rate=rate)

        return Step(f"{kind}, adapter {seed + 1} of {self.adapters}", _lacks((kind, missed), seed), make)

    def _broken(self, seed: int, kind: str) -> Step:
        def make(book: Book) -> MeasuredSubject:
            wrong = kind == "wrong adapter"
            subject = healthy(self.other.arms, seed)[0] if wrong else planted(self.lab.arms, self._good(seed), seed)[kind]()
            return self._record(book, kind, seed, subject)

        return Step(f"{kind}, adapter {seed + 1} of {self.adapters}", _lacks((kind,), seed), make)


def _lacks(kinds: tuple[str, ...], seed: int) -> Callable[[Book], bool]:
    return lambda book: not any(one.kind in kinds and one.adapter == seed for one in book.subjects)


FEWEST = 6
"""Good adapters without which no spread can be estimated apart from the three that a run uses."""


def check_enough(book: Book) -> None:
    """InputError where there are too few good adapters to judge anything."""
    found = len(book.of("good"))
    if found < FEWEST:
        raise InputError(f"{found} good adapters are recorded; a calibration needs at least {FEWEST}: run the command again, or longer")
