"""A run: one adapter was accepted and pinned, another comes as the candidate, and the gate says what it says.

The measurements come from the functions that make them in `pytest evals`, as each gate declares them, and are judged under the same
thresholds. Per run: which adapters, which of the samples recorded (as many as the gate would take, drawn anew), which adapter stands for a
whole training, and the seed-to-seed spread, estimated without any of these adapters: a run must not be judged by a spread that it helped
to measure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from evals.calibrated import Calibrated, MeasuredSubject, Meeting
from evals.calibration.book import Book
from evals.calibration.declared import GATES
from harness.data.arrays import Floats
from harness.data.measurement import Measurement, SeedToSeed
from harness.data.verdict import Outcome
from harness.gate.verdict.entry import Entry
from harness.gate.verdict.judged import Check, judged, needs_of, resting_on
from harness.gate.verdict.thresholds import Thresholds

NOT_GREEN: tuple[Outcome, ...] = ("fail", "inconclusive", "error")
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
    def inconclusive(self) -> bool:
        """Whether at least one gate was inconclusive."""
        return "inconclusive" in self.verdicts.values()

    @property
    def missed(self) -> bool:
        """No gate is other than green."""
        return not any(outcome in NOT_GREEN for outcome in self.verdicts.values())


@dataclass(frozen=True)
class _Differences:
    """What every two good adapters differ by in one check, from scenario to scenario; [adapters, adapters] each."""

    mean: Floats
    deviation: Floats
    """Standard deviation over scenarios."""


@dataclass(frozen=True)
class Gate:
    """The gate of one book under one file of thresholds."""

    book: Book
    thresholds: Thresholds
    knows_seeds: bool = True
    """Whether verdicts know the seed-to-seed spread; without, to show what that is worth and what it costs."""

    @cached_property
    def good(self) -> tuple[MeasuredSubject, ...]:
        """The adapters of the behavior that nothing was done to."""
        return self.book.of("good")

    @cached_property
    def values(self) -> Mapping[str, Floats]:
        """The values that trainings are compared by, for each check that compares two: [good adapters, scenarios, documents or tasks]."""
        return {id: np.array([gate.values(one)[id] for one in self.good]) for id, gate in self._compared.items()}

    @cached_property
    def _compared(self) -> Mapping[str, Calibrated]:
        """By check that compares two trainings: who declares it."""
        return {id: gate for gate in GATES for one in self.good[:1] for id in gate.values(one)}

    @cached_property
    def _differences(self) -> Mapping[str, _Differences]:
        apart = {id: values[:, None] - values[None, :] for id, values in self.values.items()}  # [adapters, adapters, scenarios]
        return {id: _Differences(each.mean(axis=-1), each.std(axis=-1, ddof=1)) for id, each in apart.items()}

    def seed_spreads(self, without: Sequence[int] = ()) -> dict[str, SeedToSeed]:
        """How much two good adapters differ, by check, estimated from those not named."""
        keep = np.array([one.adapter not in without for one in self.good])
        pairs, count = np.ix_(keep, keep), int(keep.sum())
        others = ~np.eye(count, dtype=bool)
        found: dict[str, SeedToSeed] = {}
        for id, gate in self._compared.items():
            mean, scatter = (each[pairs][others] for each in (self._differences[id].mean, self._differences[id].deviation))
            deviation = math.sqrt(float((mean**2).mean())) / gate.unit(id, self.values[id][keep])
            found[id] = SeedToSeed(deviation, math.sqrt(float(((mean / scatter) ** 2).mean())), count)
        return found

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
        knows = self.knows_seeds and plan.accepted is not None
        spreads = self.seed_spreads((*plan.adapters, reference.adapter)) if knows else {}
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


def itself(good: Sequence[MeasuredSubject], draws: int) -> list[Plan]:
    """Every adapter against itself, samples drawn again."""
    return [Plan(one, one, number) for number, one in enumerate([one for _ in range(draws) for one in good])]


def planted(good: Sequence[MeasuredSubject], plants: Sequence[MeasuredSubject], runs: int) -> list[Plan]:
    """Every plant against the adapter it was made from, then all others in turn, and so on with new samples, until there are `runs`."""
    each = -(-runs // max(len(plants), 1))
    order = {one.adapter: i for i, one in enumerate(good)}
    plans = [(good[(order[plant.adapter] + k) % len(good)], plant) for plant in plants for k in range(each)]
    return [Plan(accepted, plant, number) for number, (accepted, plant) in enumerate(plans)]


def against_base(good: Sequence[MeasuredSubject]) -> list[Plan]:
    """Every good adapter as the first cycle, before one is accepted."""
    return [Plan(None, one, number) for number, one in enumerate(good)]
