"""Recorded measurements under new thresholds: what changes, why, and what cannot be judged again."""

from __future__ import annotations

import json
import sqlite3
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.__main__ import app
from harness.data.errors import InputError
from harness.data.measurement import Estimate, Measurement
from harness.data.settings import Settings
from harness.data.waiver import Waiver
from harness.gate.history import records as history
from harness.gate.history.rejudge import Judged, from_gate_json, from_history, lines, rejudge, verdict_after
from harness.gate.reports import gate_json
from harness.gate.verdict.entry import Entry
from harness.gate.verdict.judged import Check, by_id, error_entry, judged, resting_on
from harness.gate.verdict.run import Run
from harness.gate.verdict.thresholds import Thresholds, load_thresholds

OLD = """
["preflight.finite"]
kind = "gate"
alpha = 0.001
at_most = 0
reason = "numbers mean something"
["q4.regression"]
kind = "gate"
alpha = 0.002
at_least = -0.25
reason = "a quarter"
["q1.knee"]
kind = "check"
at_most = 20
reason = "few examples"
"""


def thresholds(folder: Path, text: str = OLD) -> Thresholds:
    path = folder / "thresholds.toml"
    path.write_text(text, encoding="utf-8")
    return load_thresholds(path)


def exact(value: float) -> Estimate:
    return Estimate(value, value, value, value, value, 0.001, 4, 4)


@pytest.fixture
def entries(tmp_path: Path) -> tuple[Entry, ...]:
    """A gate that fails, a check that passes, a finding with an answer, one that does not apply, an instrument that broke."""
    known = thresholds(tmp_path)
    measured = (
        Measurement("preflight.finite", "listening", "values", exact(0.0)),
        Measurement("q4.regression", "listening", "share", Estimate(-0.6, -0.7, -0.5, -0.8, -0.4, 0.002, 224, 32)),
        Measurement("q1.knee", "listening", "examples", Estimate(10, 5, 10, 5, 10, 0.05, 64, 32), stepwise=True),
        Measurement("q1.onset", "listening", "", answer="continuous"),
        Measurement("q7.separation", "listening", "cosine", reason="no such layers", not_applicable=True),
        Measurement("q3.rank", "listening", "", Estimate(0.1, 0.0, 0.2, 0.0, 0.2, 0.05, 64, 32), reason="too wide"),
    )
    needs = ("preflight.finite",)
    checks = [Check(m.id, "check", () if m.id.startswith("preflight") else needs, f"t::{m.id}", "listening") for m in measured]
    found = [judged(m, check, "tiny-hybrid", known) for m, check in zip(measured, checks, strict=True)]
    broken = error_entry(Check("q5.effect", "check", (), "t::q5", "listening"), "tiny-hybrid", known, "the engine died")
    return (*(resting_on(by_id(found[:1]), one) for one in found), broken)


@pytest.fixture
def recorded(entries: tuple[Entry, ...], tmp_path: Path) -> Path:
    path = tmp_path / "history.sqlite"
    history.append_to(path, Run(Settings(reports=tmp_path), "c1", "2026-01-01T00:00:00+00:00", entries, (), complete=True))
    return path


def changes(judgments: tuple[Judged, ...]) -> dict[str, tuple[str, str]]:
    return {one.key: (one.before["verdict"], one.after.verdict.outcome) for one in judgments if one.changed}


def test_the_same_thresholds_change_nothing(recorded: Path, tmp_path: Path) -> None:
    judgments = rejudge(from_history(recorded, None), thresholds(tmp_path))
    assert changes(judgments) == {} and {one.key: one.after.verdict.message for one in judgments} == {
        one.key: one.before["message"] for one in judgments
    }
    outcomes = sorted(one.after.verdict.outcome for one in judgments)
    assert outcomes == ["error", "fail", "inconclusive", "not_applicable", "pass", "pass", "settled"]


def test_a_new_bound_changes_the_verdict_and_says_why(recorded: Path, tmp_path: Path) -> None:
    cycle = from_history(recorded, "c1")
    judgments = rejudge(cycle, thresholds(tmp_path, OLD.replace("-0.25", "-0.9").replace("a quarter", "nine tenths")))
    assert changes(judgments) == {"q4.regression[listening]": ("fail", "pass")}
    assert lines(cycle, judgments) == [
        "q4.regression[listening]: fail (gate) -> pass (gate); at_least -0.25 -> -0.9 (nine tenths)",
        "cycle c1: 1 of 7 verdicts changed; over the gates fail -> pass",
    ]


def test_a_gate_made_a_check_is_a_change_although_its_verdict_stays(recorded: Path, tmp_path: Path) -> None:
    cycle = from_history(recorded, "c1")
    text = OLD.replace('kind = "gate"\nalpha = 0.002', 'kind = "check"\nalpha = 0.002')
    judgments = rejudge(cycle, thresholds(tmp_path, text))
    assert lines(cycle, judgments)[0].startswith("q4.regression[listening]: fail (gate) -> fail (check); kind gate -> check")
    assert verdict_after(judgments) == "pass"


def test_what_rests_on_a_check_that_now_fails_becomes_inconclusive(recorded: Path, tmp_path: Path) -> None:
    judgments = rejudge(from_history(recorded, "c1"), thresholds(tmp_path, OLD.replace("at_most = 0\n", "at_most = -1\n")))
    found = changes(judgments)
    assert found["preflight.finite[listening]"] == ("pass", "fail") and found["q1.knee[listening]"] == ("pass", "inconclusive")
    assert next(one.why for one in judgments if one.key == "q1.knee[listening]") == "what it rests on is judged otherwise"


def test_a_smaller_alpha_than_was_measured_is_an_error(recorded: Path, tmp_path: Path) -> None:
    judgments = rejudge(from_history(recorded, "c1"), thresholds(tmp_path, OLD.replace("0.002", "0.0001")))
    assert changes(judgments) == {"q4.regression[listening]": ("fail", "error")}


def test_a_waiver_counts_and_is_said(recorded: Path, tmp_path: Path) -> None:
    cycle = from_history(recorded, "c1")
    waiver = Waiver("q4.regression", "c1", date(2026, 12, 1), "known")
    judgments = rejudge(cycle, thresholds(tmp_path), [waiver], date(2026, 11, 23))
    assert lines(cycle, judgments)[0].endswith("fail (gate) -> fail (gate, waived); waived until 2026-12-01: known")
    assert rejudge(cycle, thresholds(tmp_path), [waiver], date(2026, 12, 2))[1].after.waiver is None


def test_gate_json_is_judged_as_the_history_is(entries: tuple[Entry, ...], tmp_path: Path) -> None:
    run = Run(Settings(reports=tmp_path), "c1", "2026-01-01T00:00:00+00:00", entries, (), complete=True)
    path = gate_json.write(run)
    assert changes(rejudge(from_gate_json(path), thresholds(tmp_path))) == {}


@pytest.mark.parametrize("estimate", [None, 0.4])
def test_an_answer_that_older_versions_called_inconclusive_is_none(tmp_path: Path, estimate: float | None) -> None:
    """They recorded the word as the answer, beside a number or without one, and a reason only where they had one."""
    finding = judged(Measurement("q1.onset", "listening", "examples", answer="continuous"), None, "tiny-hybrid", thresholds(tmp_path))
    rows = []
    for id, answer, reason in (("q1.a", "inconclusive", None), ("q1.b", "inconclusive: 5 or 10", "too wide"), ("q1.c", "continuous", None)):
        verdict = "settled" if answer == "continuous" else "inconclusive"
        row = {**finding.check(), "id": id, "key": id, "answer_in_words": answer, "answer": answer, "reason": reason, "verdict": verdict}
        rows.append(row | dict.fromkeys(("estimate", "low", "high", "low_alpha", "high_alpha"), estimate) | {"n": 40})
    content = {"schema": 1, "cycle": "old", "subject": {"base": "tiny-hybrid"}, "checks": rows, "profile": "quick"}
    path = tmp_path / "gate.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    judgments = rejudge(from_gate_json(path), thresholds(tmp_path))
    assert changes(judgments) == {}
    assert [one.after.verdict.message for one in judgments] == [
        "q1.a has no answer: the data do not tell the answers apart.",
        "q1.b has no answer: too wide.",
        "q1.c is settled: continuous; nothing rests on it.",
    ]


@pytest.mark.parametrize(
    ("content", "says"), [("{", "not a gate.json"), ('{"schema": 2}', "schema 2; allowed: 1"), ("[]", "not a gate.json")]
)
def test_what_is_no_gate_json_is_refused(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "gate.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=says):
        from_gate_json(path)


def test_a_history_without_the_column_is_kept_and_says_what_to_do(recorded: Path) -> None:
    with sqlite3.connect(recorded) as connection:
        connection.execute("alter table measurements drop column gate_row")
    with pytest.raises(InputError, match="c1 was recorded by a version that kept too little to judge again; run it anew"):
        from_history(recorded, "c1")
    cycle = history.read_cycle(recorded, "c1")
    assert cycle is not None and cycle.records["q4.regression[listening]"].estimate == -0.6


def test_the_command_prints_changes_and_refuses_in_one_line(recorded: Path, tmp_path: Path) -> None:
    known = tmp_path / "new.toml"
    known.write_text(OLD.replace("-0.25", "-0.9"), encoding="utf-8")
    ask = ["rejudge", "--history", str(recorded), "--thresholds", str(known)]
    done = CliRunner().invoke(app, ask)
    assert done.exit_code == 0 and "fail (gate) -> pass (gate)" in done.stdout and done.stdout.count("\n") == 2
    for more, says in ((["--cycle", "c9"], "cycle c9: not in"), (["--cycle", "c1", "--gate-json", "x"], "allowed: one of them")):
        refused = CliRunner().invoke(app, [*ask, *more])
        assert refused.exit_code == 4 and says in refused.stderr and refused.stderr.count("\n") == 1
    empty = CliRunner().invoke(app, ["rejudge", "--history", str(tmp_path / "none.sqlite")])
    assert empty.exit_code == 4 and "no cycle is recorded there" in empty.stderr
