"""A run: one adapter was accepted and pinned, another comes as the candidate, and the gate says what it says.

The measurements come from the functions that make them in `pytest evals`, as each gate declares them, and are judged under the same
thresholds. Per run: which adapters, which of the samples recorded (as many as the gate would take, drawn anew), which adapter stands for a
whole training, and the seed-to-seed spread, estimated without any of these adapters: a run must not be judged by a spread that it helped
to measure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations

import numpy as np

from evals.calibrated import Calibrated, MeasuredSubject, Meeting
from evals.calibration.book import Book
from evals.calibration.declared import GATES
from harness.data.arrays import Floats
from harness.data.measurement import Measurement, Spread
from harness.data.verdict import Outcome
from harness.experiment.seed_spread import SeedSpreads
from harness.gate.verdict.entry import Entry
from harness.gate.verdict.judged import Check, judged, needs_of, resting_on
from harness.gate.verdict.thresholds import Thresholds

NOT_GREEN: tuple[Outcome, ...] = ("fail", "inconclusive", "error")
CONTINUATION = "continuation"
"""Kind of a good adapter trained on with as many examples of the same kind as a cycle has."""
WEAK, UNDONE = "weak", "undone after a weak cycle"
"""Kinds: trained on a handful of examples, and that trained on with counter-examples."""
NEAR = "near a "
"""Before the name of a kind: the nearest dose that was found is further off than the tolerance."""
REFERENCE = 20
"""Number of the random stream that the reference of a run is drawn from."""


@dataclass(frozen=True)
class Plan:
    """Which two subjects meet; `number` makes the draws of this run its own."""

    accepted: MeasuredSubject | None
    """None: base, as before any cycle is accepted."""
    candidate: MeasuredSubject
    number: int

    @property
    def adapters(self) -> tuple[int, ...]:
        """Independently trained adapters in the run, each once."""
        others = () if self.accepted is None else (self.accepted.adapter,)
        return tuple(dict.fromkeys((*others, self.candidate.adapter)))


@dataclass(frozen=True)
class Outcomes:
    """What the gate said in one run, by check."""

    plan: Plan
    verdicts: Mapping[str, Outcome]

    @property
    def failed(self) -> bool:
        """Whether at least one gate failed."""
        return "fail" in self.verdicts.values()

    @property
    def green(self) -> bool:
        """Whether no gate is other than green."""
        return not any(outcome in NOT_GREEN for outcome in self.verdicts.values())

    @property
    def inconclusive(self) -> bool:
        """Whether no gate failed and at least one is open: with `failed` and `green`, exactly one of three."""
        return not self.failed and not self.green


@dataclass(frozen=True)
class Gate:
    """The gate of one book under one file of thresholds."""

    book: Book
    thresholds: Thresholds

    @cached_property
    def good(self) -> tuple[MeasuredSubject, ...]:
        """The adapters of the behavior that nothing was done to."""
        return self.book.of("good")

    @cached_property
    def _compared(self) -> Mapping[str, Calibrated]:
        """By check that compares two trainings: who declares it."""
        return {id: gate for gate in GATES for one in self.good[:1] for id in gate.values(one)}

    @cached_property
    def values(self) -> Mapping[str, Floats]:
        """The values that trainings are compared by, for each check that compares two: [good adapters, scenarios, documents or tasks]."""
        return {id: np.array([gate.values(one)[id] for one in self.good]) for id, gate in self._compared.items()}

    @cached_property
    def _levels(self) -> Mapping[str, Mapping[str, tuple[float, float]]]:
        """Mean value and the variance that sampling gives it, by check and digest, of good adapters and their continuations."""
        ones = (*self.good, *self.book.of(CONTINUATION))
        return {
            id: {one.digest: (float(gate.values(one)[id].mean()), gate.noise(one).get(id, 0.0)) for one in ones}
            for id, gate in self._compared.items()
        }

    def seed_spreads(self, without: Sequence[int] = ()) -> SeedSpreads:
        """How much trainings differ, by check, in the unit of its values, estimated from adapters not named and their continuations.

        What differs because replies are sampled is taken out: the interval of a run knows that already.
        """
        good = [one for one in self.good if one.adapter not in without]
        parents = {one.adapter: one for one in good}
        continued = [(parents[one.adapter], one) for one in self.book.of(CONTINUATION) if one.adapter in parents]
        retrained = [*combinations(good, 2)]
        return SeedSpreads(
            {id: Spread(self._deviation(id, retrained, ordered=False), len(good)) for id in self._compared if retrained},
            {
                id: Spread(self._deviation(id, continued, ordered=True), len({before.adapter for before, _ in continued}), True)
                for id in self._compared
                if continued
            },
        )

    def _deviation(self, id: str, pairs: Sequence[tuple[MeasuredSubject, MeasuredSubject]], ordered: bool) -> float:
        """Root mean square of the true difference of means. In ordered pairs what all gain alike is no luck, and is left out."""
        known = self._levels[id]
        change = np.array([known[after.digest][0] - known[before.digest][0] for before, after in pairs])
        noise = np.mean([known[after.digest][1] + known[before.digest][1] for before, after in pairs])
        if ordered:
            threshold = self.thresholds.for_check(id, self.book.model, self.book.behavior)
            better = -1.0 if threshold is not None and threshold.falls else 1.0
            change = change - better * max(0.0, better * float(change.mean()))
        return math.sqrt(max(0.0, float((change**2).mean() - noise)))

    def run(self, plan: Plan) -> Outcomes:
        """Every gate that depends on the candidate."""
        streams = {number: np.random.default_rng([plan.number, number]) for number in {REFERENCE, *(gate.stream for gate in GATES)}}
        others = [one for one in self.good if one.adapter not in plan.adapters]
        meeting = self.meeting(plan, others[int(streams[REFERENCE].integers(len(others)))])
        entries: dict[str, Entry] = {}
        for gate in GATES:
            for measurement in gate.measure(meeting, streams[gate.stream]):
                entries[measurement.id] = self._judged(measurement, gate.needs, entries)
        return Outcomes(plan, {id: entry.verdict.outcome for id, entry in entries.items()})

    def meeting(self, plan: Plan, reference: MeasuredSubject) -> Meeting:
        """A run as the gates see it."""
        spreads = SeedSpreads() if plan.accepted is None else self.seed_spreads((*plan.adapters, reference.adapter))
        book = self.book
        return Meeting(
            book.model,
            book.behavior,
            book.domains,
            book.common,
            book.replies,
            plan.accepted,
            plan.candidate,
            reference,
            self.thresholds,
            spreads,
        )

    def _judged(self, measurement: Measurement, named: Sequence[str], before: Mapping[str, Entry]) -> Entry:
        """`before` holds the entries so far. Preflight that calibration leaves out, as the same for all candidates, is not asked."""
        needs = tuple(id for id in needs_of(measurement.id, named) if id in before)
        return resting_on(before, judged(measurement, Check(measurement.id, "gate", needs, ""), self.book.model, self.thresholds))


def other_seed(good: Sequence[MeasuredSubject], draws: int) -> list[Plan]:
    """Every ordered pair of adapters trained on the same data under two seeds, `draws` times."""
    pairs = [(a, b) for _ in range(draws) for a in good for b in good if a.adapter != b.adapter]
    return [Plan(a, b, number) for number, (a, b) in enumerate(pairs)]


def onward(accepted: Sequence[MeasuredSubject], made: Sequence[MeasuredSubject], draws: int) -> list[Plan]:
    """What was made of an accepted adapter, against that adapter, `draws` times with new samples."""
    parents = {one.adapter: one for one in accepted}
    pairs = [(parents[one.adapter], one) for _ in range(draws) for one in made if one.adapter in parents]
    return [Plan(parent, one, number) for number, (parent, one) in enumerate(pairs)]


def elsewhere(good: Sequence[MeasuredSubject], plants: Sequence[MeasuredSubject]) -> list[Plan]:
    """Every plant against every good adapter that it was not made from: as if its training had begun anew."""
    pairs = [(one, plant) for plant in plants for one in good if one.adapter != plant.adapter]
    return [Plan(accepted, plant, number) for number, (accepted, plant) in enumerate(pairs)]


def inverted(book: Book, count: int, draws: int) -> list[Plan]:
    """Continuations that do the opposite in `count` domains, drawn for every run; there they say what an adapter of the wrong sign says."""
    parents, donors = {one.adapter: one for one in book.of("good")}, book.of("wrong sign")
    names, names_of = [name for gate in GATES for name in gate.by_scenario], np.unique(book.domains)
    plans: list[Plan] = []
    for k, one in enumerate([one for _ in range(draws) for one in book.of(CONTINUATION) if donors]):
        donor, rng = donors[k % len(donors)], np.random.default_rng([k, count])
        where = np.isin(book.domains, rng.choice(names_of, count, replace=False))
        mixed = {name: np.where(where, donor.arrays[name], one.arrays[name]) for name in names if name in one.arrays}
        plans.append(Plan(parents[one.adapter], replace(one, kind="inverted", arrays={**one.arrays, **mixed}), k))
    return plans


def against_base(good: Sequence[MeasuredSubject]) -> list[Plan]:
    """Every good adapter as the first cycle, before one is accepted."""
    return [Plan(None, one, number) for number, one in enumerate(good)]
