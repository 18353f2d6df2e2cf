"""A run: one adapter was accepted and pinned, another comes as the candidate, and the gate says what it says.

The measurements come from the functions that make them in `pytest evals` (q4's share of a training, q6's mean change, preflight's exact
numbers) and are judged under the same thresholds. Per run: which adapters, which samples of their code and answers (five of those recorded,
drawn anew), which adapter stands for a whole training, and the spread, estimated without any of these adapters: a run must not be judged
by a spread that it helped to measure.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from evals.calibration.recordings import Book, Recording
from evals.preflight.design import HANDFUL
from evals.q4.design import ID as JUDGED_RATE
from evals.q4.design import LIVE, UNIT_OF_EFFECT
from evals.q4.design import SAMPLES as REPLIES_SAMPLED
from evals.q4.design import UNIT as UNIT_OF_RATE
from evals.q4.judged_rate import change_of_rate
from evals.q4.regression import share_of_training
from evals.q6.ability import SAMPLES
from evals.q6.experiment import IDS, PARTS, UNITS, Part, mean_change
from harness.data.arrays import Flags, Floats
from harness.data.measurement import Estimate, Measurement, SeedToSeed
from harness.data.verdict import Outcome
from harness.gate.verdict.entry import Entry
from harness.gate.verdict.judged import Check, by_id, judged, needs_of, resting_on
from harness.gate.verdict.thresholds import Thresholds

REGRESSION = "q4.regression"
NOT_GREEN: tuple[Outcome, ...] = ("fail", "inconclusive", "error")


@dataclass(frozen=True)
class Plan:
    """Which two subjects meet; `number` makes the draws of this run its own."""

    accepted: Recording | None
    """None: base, as before any cycle is accepted."""
    candidate: Recording
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
        return "fail" in self.verdicts.values()

    @property
    def inconclusive(self) -> bool:
        return "inconclusive" in self.verdicts.values()

    @property
    def missed(self) -> bool:
        """No gate is other than green."""
        return not any(outcome in NOT_GREEN for outcome in self.verdicts.values())


@dataclass(frozen=True)
class Gate:
    """The gate of one book under one file of thresholds."""

    book: Book
    thresholds: Thresholds
    samples: int = SAMPLES["quick"]
    knows_seeds: bool = True
    """Whether verdicts know how much trainings alike differ; without, to show what that is worth and what it costs."""

    @cached_property
    def good(self) -> tuple[Recording, ...]:
        return self.book.of("good")

    @cached_property
    def _differences(self) -> dict[str, tuple[Floats, Floats]]:
        """Check to mean and standard deviation over scenarios of every pair's difference, [adapters, adapters], in nats for q4."""
        rows = {REGRESSION: np.array([one.shift for one in self.good]), IDS["prose"]: np.array([one.prose for one in self.good])}
        for part in self.book.tiers:
            rows[IDS[_part(part)]] = np.array([one.solved[part][: self.samples].mean(axis=0) for one in self.good])
        if self.book.base_positive is not None:
            rows[JUDGED_RATE] = np.array([_samples(one).mean(axis=0) for one in self.good])
        found = {}
        for id, values in rows.items():
            apart = values[:, None] - values[None, :]  # [adapters, adapters, scenarios]
            found[id] = (apart.mean(axis=-1), apart.std(axis=-1, ddof=1))
        return found

    def alike(self, without: Sequence[int] = ()) -> dict[str, SeedToSeed]:
        """How much two good adapters differ, by check, estimated from those not named."""
        keep = np.array([one.adapter not in without for one in self.good])
        pairs = np.ix_(keep, keep)
        others = ~np.eye(int(keep.sum()), dtype=bool)
        unit = float(np.mean([one.shift.mean() for one, kept in zip(self.good, keep, strict=True) if kept]))
        found: dict[str, SeedToSeed] = {}
        for id, (means, scatters) in self._differences.items():
            mean, scatter = means[pairs][others], scatters[pairs][others]
            deviation = math.sqrt(float((mean**2).mean())) / (unit if id == REGRESSION else 1.0)
            found[id] = SeedToSeed(deviation, math.sqrt(float(((mean / scatter) ** 2).mean())), int(keep.sum()))
        return {**found, "q4.drift": found[REGRESSION]}

    def run(self, plan: Plan) -> Outcomes:
        """Every gate that depends on the candidate."""
        rng = np.random.default_rng([plan.number, 20])
        others = [one for one in self.good if one.adapter not in plan.adapters]
        reference = others[int(rng.integers(len(others)))]
        known = {} if plan.accepted is None or not self.knows_seeds else self.alike((*plan.adapters, reference.adapter))
        found = [*self._preflight(plan), self._regression(plan, reference, known.get(REGRESSION))]
        found.append(self._judged_rate(plan, known.get(JUDGED_RATE), np.random.default_rng([plan.number, 21])))
        found += [self._ability(plan, part, known.get(IDS[part]), rng) for part in PARTS]
        return Outcomes(plan, {entry.id: entry.verdict.outcome for entry in self._judged(found)})

    def _judged(self, found: Sequence[Measurement]) -> Iterator[Entry]:
        preflight: dict[str, Entry] = {}
        for measurement in found:
            is_preflight = measurement.id.startswith("preflight.")
            needs = () if is_preflight else tuple(id for id in needs_of(measurement.id, LIVE) if id in preflight)
            entry = resting_on(preflight, judged(measurement, Check(measurement.id, "gate", needs, ""), self.book.model, self.thresholds))
            preflight |= by_id([entry]) if is_preflight else {}
            yield entry

    def _alpha(self, id: str) -> float:
        threshold = self.thresholds.for_check(id, self.book.model, self.book.behavior)
        return threshold.alpha if threshold else 0.05

    def _measurement(self, id: str, unit: str, **rest: object) -> Measurement:
        return Measurement(id, self.book.behavior, unit, **rest)  # type: ignore[arg-type]  # checked where they are made

    def _preflight(self, plan: Plan) -> Iterator[Measurement]:
        one = plan.candidate
        for id, value in (("preflight.adapter_is_live", one.live), ("preflight.finite", one.bad)):
            if math.isfinite(value):
                yield self._measurement(id, "", estimate=Estimate.exact(value, HANDFUL, self._alpha(id)))
            else:
                yield self._measurement(id, "", reason="some log-probabilities are not finite")

    def _regression(self, plan: Plan, reference: Recording, known: SeedToSeed | None) -> Measurement:
        before = 0.0 if plan.accepted is None else plan.accepted.shift
        change = plan.candidate.shift - before
        found = share_of_training(change, reference.shift, self.book.domains, self._alpha(REGRESSION))
        spread = known and known.between(float(change.std(ddof=1)) / float(reference.shift.mean()))
        return self._measurement(REGRESSION, UNIT_OF_EFFECT, estimate=found.value, reason=found.reason, spread=spread)

    def _judged_rate(self, plan: Plan, known: SeedToSeed | None, rng: np.random.Generator) -> Measurement:
        base = self.book.base_positive
        if base is None:
            return self._measurement(JUDGED_RATE, UNIT_OF_RATE, reason="no replies were sampled", not_applicable=True)
        before = base if plan.accepted is None else _samples(plan.accepted)
        change = _drawn(_samples(plan.candidate), REPLIES_SAMPLED, rng) - _drawn(before, REPLIES_SAMPLED, rng)
        found = change_of_rate(change, self.book.domains, self._alpha(JUDGED_RATE), rng)
        spread = known and known.between(float(change.std(ddof=1)))
        return self._measurement(JUDGED_RATE, UNIT_OF_RATE, estimate=found.value, reason=found.reason, spread=spread)

    def _ability(self, plan: Plan, part: Part, known: SeedToSeed | None, rng: np.random.Generator) -> Measurement:
        id, alpha = IDS[part], self._alpha(IDS[part])
        if part != "prose" and part not in self.book.tiers:
            why = "base is at floor in every tier" if self.book.replies else "no replies were sampled"
            return self._measurement(id, UNITS[part], reason=why, not_applicable=True)
        same = plan.accepted is not None and plan.accepted.digest == plan.candidate.digest
        if part == "prose":
            values = plan.candidate.prose - (0.0 if plan.accepted is None else plan.accepted.prose)
            cells = self.book.documents
        else:
            before = self.book.base_solved[part] if plan.accepted is None else plan.accepted.solved[part]
            values = _drawn(plan.candidate.solved[part], self.samples, rng) - _drawn(before, self.samples, rng)
            cells = self.book.tiers[part]
        estimate, reason = mean_change(part, np.asarray(values), cells, same, alpha, rng)
        spread = known and known.between(float(np.std(values, ddof=1)))
        return self._measurement(id, UNITS[part], estimate=estimate, reason=reason, spread=spread)


def _drawn(recorded: Flags, samples: int, rng: np.random.Generator) -> Floats:
    """Share of `samples` of the recorded samples [samples, tasks or scenarios] that are right, [tasks or scenarios]."""
    return np.asarray(recorded[rng.choice(len(recorded), samples, replace=False)].mean(axis=0))


def _samples(one: Recording) -> Flags:
    assert one.positive is not None
    return one.positive


def _part(name: str) -> Part:
    return next(part for part in PARTS if part == name)


def alike(good: Sequence[Recording], draws: int) -> list[Plan]:
    """Every ordered pair of adapters trained alike, `draws` times."""
    pairs = [(a, b) for _ in range(draws) for a in good for b in good if a.adapter != b.adapter]
    return [Plan(a, b, number) for number, (a, b) in enumerate(pairs)]


def itself(good: Sequence[Recording], draws: int) -> list[Plan]:
    """Every adapter against itself, samples drawn again."""
    return [Plan(one, one, number) for number, one in enumerate([one for _ in range(draws) for one in good])]


def planted(good: Sequence[Recording], plants: Sequence[Recording], runs: int) -> list[Plan]:
    """Every plant against the adapter it was made from, then all others in turn, and so on with new samples, until there are `runs`."""
    each = -(-runs // max(len(plants), 1))
    order = {one.adapter: i for i, one in enumerate(good)}
    plans = [(good[(order[plant.adapter] + k) % len(good)], plant) for plant in plants for k in range(each)]
    return [Plan(accepted, plant, number) for number, (accepted, plant) in enumerate(plans)]


def against_base(good: Sequence[Recording]) -> list[Plan]:
    """Every good adapter as the first cycle, before one is accepted."""
    return [Plan(None, one, number) for number, one in enumerate(good)]
