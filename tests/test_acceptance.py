"""Which cycles may become the baseline: every gate run and green, no proven loss, rows of one subject and one judge."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.data.errors import InputError
from harness.data.measurement import Estimate, Measurement
from harness.data.settings import Settings
from harness.data.verdict import Verdict
from harness.gate.history import records
from harness.gate.history.acceptance import accept
from harness.gate.verdict.entry import Entry
from harness.gate.verdict.run import Run
from harness.gate.verdict.thresholds import Thresholds, load_thresholds

GATE = """["{id}"]
kind = "gate"
alpha = 0.001
margin = 0.1
reason = "a test"
"""
IDS = ("q4.regression", "q6.code")


@pytest.fixture
def thresholds(tmp_path: Path) -> Thresholds:
    path = tmp_path / "thresholds.toml"
    path.write_text("".join(GATE.format(id=id) for id in IDS), encoding="utf-8")
    return load_thresholds(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.sqlite"


def entry(id: str, verdict: Verdict | None = None, kind: Any = "gate", **provenance: str) -> Entry:
    origin = {"subject": "s1", "base": "b1", "seed": "0", "judge": "embedded", **provenance}
    measurement = Measurement(id, "listening", "nats", Estimate(0.3, 0.2, 0.4, 0.1, 0.5, 0.001, 40, 8), provenance=origin)
    return Entry(id, "listening", kind, verdict or Verdict("pass", "0.3", "fine"), measurement)


def of_other_behavior(entry: Entry) -> Entry:
    return replace(entry, behavior="not-rushing")


def record(path: Path, *entries: Entry, complete: bool = True) -> None:
    records.append_to(path, Run(Settings(), "c1", "2026-01-01T00:00:00+00:00", entries, (), complete))


GREEN = tuple(entry(id) for id in IDS)


def test_a_green_cycle_is_accepted(path: Path, thresholds: Thresholds) -> None:
    record(path, *GREEN, entry("q1.knee", Verdict("fail", "30", "red"), kind="check"))
    accept(path, "c1", thresholds)
    assert records.last_accepted(path) == records.pinned(path) == "c1"


LOSS = Verdict("pass", "0.3", "but a loss is proven", proven_loss=True)
KEYS = "q4.regression[listening]", "q6.code[listening]"


@pytest.mark.parametrize(
    ("rows", "complete", "why"),
    [
        ((entry(IDS[0], Verdict("fail", "-", "red")), GREEN[1]), True, f"{KEYS[0]} is fail"),
        ((entry(IDS[0], Verdict("inconclusive", "-", "open")), GREEN[1]), True, f"{KEYS[0]} is inconclusive"),
        ((entry(IDS[0], LOSS), GREEN[1]), True, f"{KEYS[0]} passes with a proven loss"),
        (GREEN[:1], True, f"not run: {KEYS[1]}"),
        (GREEN, False, "its last run is not complete"),
        ((GREEN[0], entry(IDS[1], subject="s2")), True, f"its rows come from more than one subject: s1 in {KEYS[0]}, s2 in {KEYS[1]}"),
        ((GREEN[0], entry(IDS[1], seed="1")), True, f"its rows come from more than one seed: 0 in {KEYS[0]}, 1 in {KEYS[1]}"),
        ((GREEN[0], entry(IDS[1], base="b2")), True, f"its rows come from more than one base: b1 in {KEYS[0]}, b2 in {KEYS[1]}"),
        (
            (*GREEN, entry("q7.label", kind="finding", judge="another")),
            True,
            f"its rows come from more than one judge: embedded in {KEYS[0]}, another in q7.label[listening]",
        ),
    ],
)
def test_what_stands_in_the_way_is_named_and_nothing_else(
    path: Path, thresholds: Thresholds, rows: tuple[Entry, ...], complete: bool, why: str
) -> None:
    record(path, *rows, complete=complete)
    with pytest.raises(InputError) as caught:
        accept(path, "c1", thresholds, force="  ")
    assert str(caught.value) == f"cycle c1 is not green ({why}); accept it only with --force REASON"
    assert records.last_accepted(path) is None
    accept(path, "c1", thresholds, force="known, see the log of today")
    assert records.last_accepted(path) == "c1"


def test_without_a_gate_that_passed_there_is_nothing_to_accept(path: Path, thresholds: Thresholds) -> None:
    record(path, *(entry(id, Verdict("not_applicable", "-", "does not apply")) for id in IDS))
    with pytest.raises(InputError, match="no gate passed"):
        accept(path, "c1", thresholds)


def test_gates_may_come_from_several_runs_of_the_cycle_with_the_same_subject(path: Path, thresholds: Thresholds) -> None:
    record(path, GREEN[0])
    record(path, GREEN[1])
    accept(path, "c1", thresholds)
    record(path, entry("q6.code", subject="s2"))
    with pytest.raises(InputError, match="more than one subject"):
        accept(path, "c1", thresholds)


def test_each_behavior_has_a_judge_of_its_own(path: Path, thresholds: Thresholds) -> None:
    record(path, *GREEN, *(of_other_behavior(entry(id, judge="embedded for the other")) for id in IDS))
    accept(path, "c1", thresholds)
    assert records.last_accepted(path) == "c1"


def test_a_gate_of_one_behavior_alone_is_missing_in_the_other(path: Path, thresholds: Thresholds) -> None:
    record(path, *GREEN, of_other_behavior(GREEN[0]))
    with pytest.raises(InputError, match=r"\(not run: q6\.code\[not-rushing\]\)"):
        accept(path, "c1", thresholds)


def test_an_unknown_cycle_cannot_be_accepted_even_by_force(path: Path, thresholds: Thresholds) -> None:
    record(path, *GREEN)
    with pytest.raises(InputError, match=r"cycle c9: not in .*; recorded last: c1"):
        accept(path, "c9", thresholds, force="please")
