"""How much a part of general ability changed, from base or since the pinned cycle, and where its gate stands.

Tiers are strata, so their tasks are resampled one by one; prose is resampled by domain. Under `full` every task is sampled again until the
gate is decided.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from evals.baseline import Earlier, NotComparable, earlier, pinned_cycle, record_of
from evals.looks import row_of, verdict_of
from evals.q6.cells import Cell, kept, margin_of, prose_cells, rests_on, tier_cells
from evals.q6.design import IDS, SAMPLES, UNITS, Part, State
from fixtures import corpora
from harness.analysis.estimated import Estimated, estimated
from harness.analysis.intervals import mean_interval
from harness.analysis.replicates import replicated_interval
from harness.data.arrays import Floats, Names
from harness.data.measurement import Estimate, Spread
from harness.data.subject import Subject
from harness.experiment.lab import Lab
from harness.experiment.profile import looks


@dataclass(frozen=True)
class ScoredPart:
    """One part, when its gate was decided or there was nothing more to draw."""

    part: Part
    cells: tuple[Cell, ...]
    samples: int
    """Samples of every task; 1 for prose, which is scored."""
    since: Earlier | None
    """The pinned cycle's values; None where the comparison is with base: no cycle is pinned, or it did not measure this part."""
    change: Estimated
    """Mean change over all documents or tasks, in the part's unit."""
    looks: tuple[Mapping[str, Any], ...] = ()
    """Under `full`, what was seen at each number of samples; empty for prose and under `quick`."""

    @property
    def at_floor(self) -> bool:
        """Whether every cell is left out, so that the gate does not apply."""
        return not kept(self.cells)


def scored(lab: Lab, part: Part, tested: Sequence[Subject], sham: Sequence[Subject]) -> ScoredPart:
    """Base, the tested subjects and shams on one part; code and reasoning under `full` sampled until the gate is decided.

    `tested` is one candidate, or a training under every seed; `sham` has as many.
    """
    name = lab.behavior.name
    if part == "prose":
        lab.progress(f"q6 {name}: prose, {len(corpora.prose())} documents")
        return _compared(lab, part, prose_cells(lab, tested, sham), 1)
    fewest, most = SAMPLES["quick"], SAMPLES[lab.settings.profile]
    rows: list[Mapping[str, Any]] = []
    for look in looks(fewest, most):
        lab.progress(f"q6 {name}: {part}, {look.size} samples a task")
        found = _compared(lab.at(look), part, tier_cells(lab, part, tested, sham, look.size), look.size)
        measured = lab.measurement(IDS[part], UNITS[part], found.change, not_applicable=found.at_floor, spread=seed_spread(lab, found))
        verdict = verdict_of(lab, measured)
        rows.append(row_of(look, measured, verdict, "samples"))
        if verdict != "inconclusive":
            break
    return replace(found, looks=tuple(rows) if fewest < most else ())


def _compared(lab: Lab, part: Part, cells: Sequence[Cell], samples: int) -> ScoredPart:
    """The cells with their change since the pinned cycle, where it measured them on the same data."""
    cycle, since = pinned_cycle(lab), None
    try:
        if cycle is not None and kept(cells) and record_of(lab, cycle, IDS[part]) is not None:
            since = earlier(lab, cycle, IDS[part], [id for cell in kept(cells) for id in cell.ids], rests_on(lab, part))
        change = change_of(lab, cells, since)
    except NotComparable as difference:
        change = Estimated(None, str(difference))
    return ScoredPart(part, tuple(cells), samples, since, change)


def change_of(lab: Lab, cells: Sequence[Cell], since: Earlier | None = None) -> Estimated:
    """Mean change over all documents or tasks of one part's cells that are not left out, from base or since an earlier cycle."""
    if not kept(cells):
        shares = ", ".join(f"{cell.name} {cell.before.mean():.0%}" for cell in cells)
        return Estimated(None, f"base is at floor in every tier ({shares} solved), and cannot get worse")
    (part,) = {cell.part for cell in cells}
    id, values = IDS[part], _since(kept(cells), since)
    same = since is not None and lab.candidate is not None and lab.candidate.digest == since.subject
    domains = np.concatenate([[cell.name] * len(cell.ids) for cell in kept(cells)])
    return mean_change(part, values, domains, same, lab.alpha(id), lab.rng(id), lab.level)


def _since(cells: Sequence[Cell], since: Earlier | None) -> Floats:
    """Change of every document or task of these cells, [trainings, documents or tasks]: from base, or since the earlier cycle."""
    values = np.concatenate([cell.changes for cell in cells], axis=1)
    return values if since is None else np.asarray(values - since.of([id for cell in cells for id in cell.ids]))


def mean_change(
    part: Part, values: Floats, cells: Names, same_subject: bool, alpha: float, rng: np.random.Generator, level: float = 0.05
) -> Estimated:
    """Mean of `values` [trainings, documents or tasks], each with the name of its cell. Prose is resampled by cell, tasks one by one.

    Several trainings are resampled too: what is said of training must hold for the next one. `same_subject`: the two compared are the same
    weights, so that no difference anywhere is a proven zero.
    """
    if not np.isfinite(values).all():
        return Estimated(None, f"{int((~np.isfinite(values)).sum())} of {values.size} values are not finite")
    if same_subject and not values.any():
        return Estimated(Estimate.exact(0.0, values.shape[1], alpha))
    clusters = cells if part == "prose" else None
    if len(values) > 1 and np.ptp(values, axis=0).any():  # else all trainings do the same in every task
        return estimated(lambda: replicated_interval(values, clusters, alpha, rng, level=level))
    return estimated(lambda: mean_interval(values[0], clusters, alpha, rng, level=level))


def seed_spread(lab: Lab, found: ScoredPart) -> Spread | None:
    """How much trainings on the same data would differ; None against base, which no training made."""
    if found.since is None or found.at_floor:
        return None
    return lab.seed_spread(IDS[found.part], found.since.continued)


def mean_gain(lab: Lab, cell: Cell) -> Estimate | None:
    """A cell's mean gain with its 95 % interval; None where all values are equal, or one is not finite."""
    try:
        return mean_interval(cell.gain, None, 0.05, lab.rng("q6", cell.part, cell.name))
    except ValueError:
        return None


def state(change: Estimate, margin: float, higher_is_better: bool) -> State:
    """What the 95 % interval of a change shows, where a change for the worse by up to `margin` is allowed."""
    low, high = (change.low, change.high) if higher_is_better else (-change.high, -change.low)
    if low > -margin or (low == high == -margin):
        return "no worse"
    return "harmed" if high < 0 else "open"


def state_of(lab: Lab, part: Part, change: Estimated) -> State | None:
    """Where the gate of a part stands; None where it does not apply, or has no estimate."""
    return None if change.value is None else state(change.value, margin_of(lab, part), part != "prose")
