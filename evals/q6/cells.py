"""The cells of general ability: one domain of prose, one tier of tasks, one task of lm-evaluation-harness, each before and after.

Tiers are strata, written once and not drawn from a population of tiers. Base and the others are sampled under the same seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from evals.q6.ability import Task, floor_of, share_solved, share_solved_unless_at_floor
from evals.q6.design import IDS, LONGEST, MOST_TOKENS, SAMPLES, TEMPERATURE, Part
from fixtures import corpora, tasks
from harness.data.arrays import Floats
from harness.data.subject import Subject
from harness.experiment.lab import Lab
from harness.readouts.bits_per_byte import bits_per_byte
from harness.store import digest_of
from harness.tasks.lm_eval_results import PairedTask, task_names
from harness.tasks.sandbox import LIMITS


@dataclass(frozen=True)
class Cell:
    """One domain of prose, one tier of tasks, or one task of lm-evaluation-harness."""

    part: Part
    name: str
    """The domain, tier or task."""
    ids: tuple[str, ...]
    """[documents or tasks]"""
    before: Floats  # [documents or tasks], bits per byte or share of samples solved, of base
    after_each: Floats | None  # [trainings, documents or tasks], the tested subject, one row; None where the cell is left out
    sham_each: Floats | None  # [trainings, documents or tasks], the sham arms; None where there are none
    higher_is_better: bool
    excluded: str | None = None
    """Why the cell is left out."""

    @property
    def after(self) -> Floats | None:
        """Mean over trainings, [documents or tasks]; None where the cell is left out."""
        return None if self.after_each is None else np.asarray(self.after_each.mean(axis=0))

    @property
    def sham(self) -> Floats | None:
        """Mean over trainings, [documents or tasks]; None where there are none."""
        return None if self.sham_each is None else np.asarray(self.sham_each.mean(axis=0))

    @property
    def changes(self) -> Floats:
        """Backward transfer, after minus before, in the cell's own unit, [trainings, documents or tasks]; where it is not left out."""
        assert self.after_each is not None
        return np.asarray(self.after_each - self.before)

    @property
    def change(self) -> Floats:
        """The same, mean over trainings, [documents or tasks]."""
        return np.asarray(self.changes.mean(axis=0))

    @property
    def gain(self) -> Floats:
        """The same, turned so that positive is better."""
        return np.asarray(self.change if self.higher_is_better else -self.change)

    @property
    def gains_over_sham(self) -> Floats | None:
        """Every training against the sham of its seed, [trainings, documents or tasks], turned so that positive is better; None without."""
        if self.after_each is None or self.sham_each is None:
            return None
        gap = self.after_each - self.sham_each
        return np.asarray(gap if self.higher_is_better else -gap)


def kept(cells: Sequence[Cell]) -> list[Cell]:
    """The cells that are not left out."""
    return [cell for cell in cells if cell.after is not None]


def tasks_of(part: Part) -> dict[str, tuple[Task, ...]]:
    """Tier to its tasks, for "code" or "reasoning"."""
    if part == "code":
        return {tier: tuple(t for t in tasks.code() if t.tier == tier) for tier in tasks.CODE_TIERS}
    return {tier: tuple(q for q in tasks.reasoning() if q.tier == tier) for tier in tasks.REASONING_TIERS}


def rests_on(lab: Lab, part: Part) -> Mapping[str, str]:
    """What determines a part beside subject and engine, as provenance: its documents, or its tasks and how they are sampled."""
    if part == "prose":
        return {"corpora": corpora.digest(corpora.prose())}
    every = [asdict(task) for group in tasks_of(part).values() for task in group]
    most = SAMPLES[lab.settings.profile]
    return {
        "tasks": digest_of([every, LIMITS]),
        "sampling": f"up to {most} samples, temperature {TEMPERATURE:g}, tokens {digest_of([MOST_TOKENS, LONGEST])}",
    }


def margin_of(lab: Lab, part: Part) -> float:
    """What the gate of a part lets pass, in the part's unit; InputError where thresholds.toml does not say."""
    return abs(lab.bound(IDS[part]))  # a margin is positive; a bound on one side says the same with a sign


def prose_cells(lab: Lab, tested: Sequence[Subject], sham: Sequence[Subject]) -> list[Cell]:
    """A cell a domain of the prose corpus. `tested` is one subject, or a training under every seed; `sham` has as many."""
    documents = corpora.prose()
    texts = [document.text for document in documents]
    before, after, of_sham = (
        np.array(lab.each(lambda one: bits_per_byte(lab.recordings, one, texts), group)) for group in ((lab.base,), tested, sham)
    )
    cells = []
    for domain in dict.fromkeys(document.domain for document in documents):
        rows = [i for i, document in enumerate(documents) if document.domain == domain]
        ids = tuple(documents[i].id for i in rows)
        cells.append(Cell("prose", domain, ids, before[0, rows], after[:, rows], of_sham[:, rows], higher_is_better=False))
    return cells


def tier_cells(lab: Lab, part: Part, tested: Sequence[Subject], sham: Sequence[Subject], samples: int) -> list[Cell]:
    """A cell for each tier. A tier of which base solves too little to lose anything is left out, and only base is sampled.

    Several trainings share the samples, so that they cost hardly more than one.
    """
    each = -(-samples // len(tested))
    margin, cells = margin_of(lab, part), []

    def shares(subjects: Sequence[Subject], group: tuple[Task, ...]) -> Floats:
        return np.array(lab.each(lambda one: share_solved(lab, one, group, each), subjects))

    for tier, group in tasks_of(part).items():
        before = share_solved_unless_at_floor(lab, lab.base, group, margin, samples)
        ids = tuple(task.id for task in group)
        if before.at_floor:
            reason = f"base solves {before.values.mean():.0%}, below {floor_of(group, margin):.0%}: it cannot show harm"
            cells.append(Cell(part, tier, ids, before.values, None, None, higher_is_better=True, excluded=reason))
        else:
            after, of_sham = shares(tested, group), shares(sham, group)
            cells.append(Cell(part, tier, ids, before.values, after, of_sham, higher_is_better=True))
    return cells


def outside_cells(outside: Sequence[PairedTask]) -> list[Cell]:
    """Domains measured by lm-evaluation-harness: shown beside, in no gate."""
    return [
        Cell(
            "lm-eval",
            name,
            tuple(f"{one.task}-{i}" for i in range(len(one.before))),
            one.before,
            one.after[np.newaxis],
            None,
            one.higher_is_better,
        )
        for name, one in zip(task_names(outside), outside, strict=True)
    ]
