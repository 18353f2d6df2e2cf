"""What calibration needs of Q6's gates: bits per byte of every document, and every sample of every task above floor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from evals.calibrated import Arrays, Calibrated, MeasuredSubject, Meeting, Sampling, chance, drawn
from evals.q6.ability import share_solved_unless_at_floor, solved
from evals.q6.cells import margin_of, tasks_of
from evals.q6.change import mean_change
from evals.q6.design import IDS, LIVE, PARTS, UNITS, Part
from evals.q6.design import SAMPLES as SAMPLES_OF
from fixtures import corpora, tasks
from harness.analysis.estimated import Estimated
from harness.data.arrays import Flags, Floats
from harness.data.measurement import Measurement
from harness.data.subject import Subject
from harness.experiment.lab import Lab
from harness.readouts.bits_per_byte import bits_per_byte

SAMPLED: tuple[Part, ...] = ("code", "reasoning")
SAMPLES = SAMPLES_OF["quick"]
"""Samples of every task in a run; calibration is about the default profile."""


@dataclass(frozen=True)
class _Q6:
    needs: tuple[str, ...] = LIVE
    stream: int = 20
    """calibration.json was made with this number; the reference of a run is drawn from this stream first."""
    by_scenario: tuple[str, ...] = ()

    def data(self) -> Sequence[Any]:
        prose = [[document.id, document.text] for document in corpora.prose()]
        asked = [asdict(task) for task in tasks.code()] + [asdict(question) for question in tasks.reasoning()]
        return prose, asked, SAMPLES

    def common(self, sampling: Sampling) -> Arrays:
        """`documents` [documents]: the domain of each. For every part that is not at floor in every tier `tiers/PART` [tasks]: the tier of
        each task, and `base/PART` [samples, tasks]: what base solves."""
        lab = sampling.lab
        found: dict[str, Any] = {"documents": np.array([document.domain for document in corpora.prose()])}
        for part in SAMPLED if sampling.judge else ():
            margin, groups = margin_of(lab, part), tasks_of(part)
            kept = [tier for tier in groups if not share_solved_unless_at_floor(lab, lab.base, groups[tier], margin, SAMPLES).at_floor]
            if kept:
                found[f"tiers/{part}"] = np.array([tier for tier in kept for _ in groups[tier]])
                found[f"base/{part}"] = _solved(lab, lab.base, part, kept, sampling.draws * SAMPLES)
        return found

    def record(self, sampling: Sampling, common: Arrays, subject: Subject) -> Arrays:
        """`prose` [documents]: bits per byte above base's. `code` and `reasoning` [samples, tasks]: what is solved, where above floor."""
        lab, texts = sampling.lab, [document.text for document in corpora.prose()]
        tiers = {part: list(dict.fromkeys(common[f"tiers/{part}"].tolist())) for part in SAMPLED if f"tiers/{part}" in common}
        prose = bits_per_byte(lab.recordings, subject, texts) - bits_per_byte(lab.recordings, lab.base, texts)
        return {"prose": prose, **{part: _solved(lab, subject, part, kept, sampling.draws * SAMPLES) for part, kept in tiers.items()}}

    def values(self, one: MeasuredSubject) -> Mapping[str, Floats]:
        tested = {IDS[part]: np.asarray(one.arrays[part].mean(axis=0)) for part in SAMPLED if part in one.arrays}
        return {IDS["prose"]: one.arrays["prose"], **tested}

    def noise(self, one: MeasuredSubject) -> Mapping[str, float]:
        return {IDS[part]: chance(one.arrays[part]) for part in SAMPLED if part in one.arrays}

    def measure(self, meeting: Meeting, rng: np.random.Generator) -> Iterator[Measurement]:
        for part in PARTS:
            yield _prose(meeting, rng) if part == "prose" else _tasks(meeting, part, rng)


def _solved(lab: Lab, subject: Subject, part: Part, tiers: Sequence[str], samples: int) -> Flags:
    """Which samples are right, [samples, tasks of these tiers]."""
    groups = [tasks_of(part)[tier] for tier in tiers]
    return np.concatenate([solved(lab, subject, group, samples) for group in groups], axis=1).astype(bool)


def _prose(meeting: Meeting, rng: np.random.Generator) -> Measurement:
    before = 0.0 if meeting.accepted is None else meeting.accepted.arrays["prose"]
    return _measured(meeting, "prose", np.asarray(meeting.candidate.arrays["prose"] - before), "documents", rng)


def _tasks(meeting: Meeting, part: Part, rng: np.random.Generator) -> Measurement:
    if f"tiers/{part}" not in meeting.common:
        reason = "base is at floor in every tier" if meeting.replies else "no replies were sampled"
        return meeting.measurement(IDS[part], UNITS[part], Estimated(None, reason), not_applicable=True)
    before = meeting.common[f"base/{part}"] if meeting.accepted is None else meeting.accepted.arrays[part]
    change = drawn(meeting.candidate.arrays[part], SAMPLES, rng) - drawn(before, SAMPLES, rng)
    return _measured(meeting, part, change, f"tiers/{part}", rng)


def _measured(meeting: Meeting, part: Part, change: Floats, cells: str, rng: np.random.Generator) -> Measurement:
    """`change` [documents or tasks]; `cells` names the array with the cell of each."""
    id, accepted = IDS[part], meeting.accepted
    same = accepted is not None and accepted.digest == meeting.candidate.digest
    found = mean_change(part, change[np.newaxis], meeting.common[cells], same, meeting.alpha(id), rng)
    return meeting.measurement(id, UNITS[part], found, spread=meeting.spread(id))


CALIBRATED: Calibrated = _Q6()
