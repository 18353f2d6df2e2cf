"""The one protocol of all questions: a check is measured when it is asked for, once, and builds nothing that it does not need."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

from evals.question import Question
from harness.data.measurement import Estimate, Measurement
from harness.experiment.lab import Lab
from harness.experiment.profile import Look
from tests.bench import SIZES, bare_lab

CLEAR, OPEN, COST = "q5.sign", "q1.effect_at_max", "q5.coherence"
"""Decided at the first look, never decided, and a check to which more scenarios add nothing."""


@dataclass(frozen=True)
class Study:
    """Two parts that write down when they are built."""

    lab: Lab
    built: list[str]

    @cached_property
    def trained(self) -> float:
        self.built.append(f"trained on {len(self.lab.pairs('test'))}")
        return -1.0

    @cached_property
    def replies(self) -> float:
        self.built.append(f"replies to {len(self.lab.pairs('test'))}")
        return 0.1


@dataclass(frozen=True)
class Toy:
    """A question of three checks, what it built, and what was measured at which look."""

    question: Question[Study]
    built: list[str]
    measured: list[tuple[str, Look | None]]


def toy(lab: Lab, known: dict[str, Measurement] | None = None, grows: Collection[str] = ()) -> Toy:
    built, measured = list[str](), list[tuple[str, Look | None]]()

    def found(study: Study, id: str, value: float) -> Measurement:
        measured.append((id, study.lab.look))
        half = 0.01 if id == CLEAR else 1.0
        low, high, n = value - half, value + half, len(study.lab.pairs("test"))
        return study.lab.measurement(id, "nats", Estimate(value, low, high, low, high, 0.05, n, n))

    measures = {
        CLEAR: lambda study: found(study, CLEAR, study.trained),
        OPEN: lambda study: found(study, OPEN, study.replies),
        COST: lambda study: found(study, COST, study.trained + study.replies),
    }
    given = known or {}
    return Toy(Question(lab, lambda lab: Study(lab, built), measures, known=lambda lab, id: given.get(id), grows=grows), built, measured)


def test_nothing_is_built_before_a_check_is_asked_for(tmp_path: Path) -> None:
    assert toy(bare_lab(tmp_path, "quick")).built == []


def test_one_check_builds_what_it_needs_and_no_more(tmp_path: Path) -> None:
    one = toy(bare_lab(tmp_path, "quick"))
    assert one.question(CLEAR).id == CLEAR
    assert one.built == ["trained on 64"]


def test_what_two_checks_need_is_built_once(tmp_path: Path) -> None:
    one = toy(bare_lab(tmp_path, "quick"))
    for id in (CLEAR, COST, OPEN):
        one.question(id)
    assert one.built == ["trained on 64", "replies to 64"]


def test_a_check_is_measured_once(tmp_path: Path) -> None:
    one = toy(bare_lab(tmp_path, "quick"))
    assert one.question(OPEN) is one.question(OPEN)
    assert one.measured == [(OPEN, None)]


def test_what_is_known_goes_first_and_needs_no_study(tmp_path: Path) -> None:
    lab = bare_lab(tmp_path)
    same = lab.measurement(CLEAR, "nats", reason="the candidate is base itself", not_applicable=True)
    one = toy(lab, known={CLEAR: same}, grows=[CLEAR])
    assert one.question(CLEAR) is same and one.built == [] and one.measured == []
    assert one.question(COST).id == COST and one.built != []


def test_under_full_what_grows_is_looked_at_until_decided(tmp_path: Path) -> None:
    lab = bare_lab(tmp_path)
    one = toy(lab, grows=[CLEAR, OPEN])
    decided, open_ = one.question(CLEAR), one.question(OPEN)
    assert [row["verdict"] for row in decided.series] == ["pass"]
    assert [row["scenarios"] for row in open_.series] == list(SIZES)
    assert one.measured == [(CLEAR, lab.looks()[0]), *((OPEN, look) for look in lab.looks())]


def test_under_full_what_does_not_grow_is_measured_at_the_first_look(tmp_path: Path) -> None:
    lab = bare_lab(tmp_path)
    one = toy(lab, grows=[OPEN])
    assert one.question(COST).series == ()
    assert one.measured == [(COST, lab.looks()[0])]


def test_checks_share_the_study_of_a_look(tmp_path: Path) -> None:
    one = toy(bare_lab(tmp_path), grows=[CLEAR, OPEN])
    for id in (OPEN, COST, CLEAR):
        one.question(id)
    assert one.built == [*(f"replies to {size}" for size in SIZES), "trained on 64"]


def test_where_no_check_grows_full_measures_once_on_everything(tmp_path: Path) -> None:
    one = toy(bare_lab(tmp_path))
    one.question(OPEN)
    assert one.measured == [(OPEN, None)] and one.built == [f"replies to {SIZES[-1]}"]


@pytest.mark.parametrize("profile", ["quick", "full"])
def test_an_unknown_id_is_a_key_error(tmp_path: Path, profile: str) -> None:
    one = toy(bare_lab(tmp_path, "quick" if profile == "quick" else "full"), grows=[OPEN])
    with pytest.raises(KeyError, match=r"q5\.nothing"):
        one.question("q5.nothing")
    assert one.built == []


def test_what_a_question_rests_on_is_in_the_provenance_of_what_it_measured(tmp_path: Path) -> None:
    def none(study: Study) -> Measurement:
        return study.lab.measurement(OPEN, "nats", reason="nothing came of it")

    def number(study: Study) -> Measurement:
        return study.lab.measurement(CLEAR, "nats", Estimate.exact(1.0, 4, 0.05), rests_on={"judge": "its own"})

    lab, asked = bare_lab(tmp_path, "quick"), list[str]()

    def rests_on(study: Study) -> dict[str, str]:
        asked.append("asked")
        return {"corpora": "texts", "judge": "the question's"}

    question = Question(lab, lambda lab: Study(lab, []), {OPEN: none, CLEAR: number}, rests_on=rests_on)
    assert question(OPEN).provenance == lab.provenance() and asked == []
    assert question(CLEAR).provenance == {**lab.provenance(), "corpora": "texts", "judge": "its own"}
