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
from evals.calibration.doses import TOLERANCE, dose, share_lost
from evals.calibration.plants import AMOUNTS, planted
from evals.calibration.recording import data_digest, empty_book, record
from evals.calibration.runs import CONTINUATION, NEAR, UNDONE, WEAK
from harness.arms.cycles import gone_on, healthy
from harness.data.errors import InputError
from harness.data.subject import Subject
from harness.experiment.lab import Lab
from harness.judges.embedded import EmbeddedJudge
from harness.judges.judge import Judge

FALLS = (0.2, 0.1)
"""Falls of the judged rate for which a dose of counter-examples is sought."""
SHARES = {"quarter of the effect lost": 0.25, "half of the effect lost": 0.5}
"""Shares of the effect for which a dose of counter-examples is sought, by kind."""
NEAR_SHARE = 0.08
"""How far a dose may be off such a share on dev pairs' like, the test pairs, and still be called it."""
ORDERS = (1, 2)
"""Orders of the examples of a good adapter's continuations."""
WEAK_EXAMPLES = 5
"""Examples of the weak training that the next cycle undoes."""
ACCIDENTS = 8
"""Adapters that accidents happen to: what becomes of them differs little from one to the next."""
POOL = 2
"""Good adapters get POOL times the gate's samples, so that each simulated run draws a fresh subset; others get one set."""


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
        steps = [*self._goods(), *self._others()]
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

    def _record(self, book: Book, kind: str, seed: int, subject: Subject, draws: int = 1, lost: float | None = None) -> MeasuredSubject:
        return record(self._sampling(draws), book, kind, seed, subject, lost)

    def _good(self, seed: int) -> Subject:
        return healthy(self.lab.arms, seed)[0]

    def _goods(self) -> Iterator[Step]:
        for seed in range(self.adapters):

            def make(book: Book, seed: int = seed) -> MeasuredSubject:
                return self._record(book, "good", seed, self._good(seed), POOL)

            yield Step(f"good adapter {seed + 1} of {self.adapters}", _lacks(("good",), seed), make)

    def _others(self) -> Iterator[Step]:
        """Continuations first, since verdicts rest on how far they differ; then adapter by adapter, so that all kinds grow together."""
        for seed in range(self.adapters):
            for nth, _ in enumerate(ORDERS):
                yield self._continued(seed, nth)
        for seed in range(self.adapters):
            for kind in SHARES:
                yield self._losing(seed, kind)
            for k in FALLS if self.replies else ():
                yield self._dosed(seed, k)
            yield self._weak(seed)
            yield self._undone(seed)
            if seed < ACCIDENTS:
                for kind in (*AMOUNTS, "wrong adapter"):
                    yield self._broken(seed, kind)

    def _step(self, kind: str, seed: int, make: Callable[[Book], MeasuredSubject], *, also: tuple[str, ...] = (), has: int = 0) -> Step:
        return Step(f"{kind}, adapter {seed + 1} of {self.adapters}", _lacks((kind, *also), seed, has), make)

    def _continued(self, seed: int, nth: int) -> Step:
        def make(book: Book) -> MeasuredSubject:
            start = self._good(seed).adapter
            assert start is not None
            return self._record(book, CONTINUATION, seed, gone_on(self.lab.arms, seed, start, "trained", ORDERS)[nth])

        return self._step(CONTINUATION, seed, make, has=nth)

    def _losing(self, seed: int, kind: str) -> Step:
        def make(book: Book) -> MeasuredSubject:
            subject, lost = share_lost(self.lab, self._good(seed), seed, SHARES[kind])
            return self._record(book, kind if abs(lost - SHARES[kind]) <= NEAR_SHARE else f"{NEAR}{kind}", seed, subject, lost=lost)

        return self._step(kind, seed, make, also=(f"{NEAR}{kind}",))

    def _dosed(self, seed: int, k: float) -> Step:
        kind = f"{100 * k:g}-point loss"

        def make(book: Book) -> MeasuredSubject:
            found = dose(self.lab, self.judge, self._good(seed), seed, k)
            return self._record(book, kind if abs(found.fall - k) <= TOLERANCE else f"{NEAR}{kind}", seed, found.subject, lost=found.fall)

        return self._step(kind, seed, make, also=(f"{NEAR}{kind}",))

    def _weakly(self, seed: int) -> Subject:
        return self.lab.arms.stream("trained", seed, (WEAK_EXAMPLES,), ("trained",))[WEAK_EXAMPLES].subject

    def _weak(self, seed: int) -> Step:
        return self._step(WEAK, seed, lambda book: self._record(book, WEAK, seed, self._weakly(seed)))

    def _undone(self, seed: int) -> Step:
        def make(book: Book) -> MeasuredSubject:
            start = self._weakly(seed).adapter
            assert start is not None
            return self._record(book, UNDONE, seed, gone_on(self.lab.arms, seed, start, "opposite", ORDERS[:1])[0])

        return self._step(UNDONE, seed, make)

    def _broken(self, seed: int, kind: str) -> Step:
        def make(book: Book) -> MeasuredSubject:
            wrong = kind == "wrong adapter"
            subject = healthy(self.other.arms, seed)[0] if wrong else planted(self.lab.arms, self._good(seed), seed)[kind]()
            return self._record(book, kind, seed, subject)

        return self._step(kind, seed, make)


def _lacks(kinds: tuple[str, ...], seed: int, has: int = 0) -> Callable[[Book], bool]:
    """Whether a book has no more than `has` subjects of these kinds and this adapter."""
    return lambda book: sum(one.kind in kinds and one.adapter == seed for one in book.subjects) <= has


FEWEST = 6
"""Good adapters without which no spread can be estimated apart from the three that a run uses."""


def check_enough(book: Book) -> None:
    """InputError where there are too few good adapters to judge anything."""
    found = len(book.of("good"))
    if found < FEWEST:
        raise InputError(f"{found} good adapters are recorded; a calibration needs at least {FEWEST}: run the command again, or longer")
