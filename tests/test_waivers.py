"""waivers.toml: a waived gate blocks nothing and is shown everywhere; what is expired or unknown says so in one line."""

from __future__ import annotations

import json
import sqlite3
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pytest

from harness.data.errors import InputError
from harness.data.settings import PROJECT
from harness.data.verdict import Outcome
from harness.data.waiver import Waiver
from harness.gate.history.acceptance import accept
from harness.gate.verdict.thresholds import load_thresholds
from harness.gate.verdict.waivers import load_waivers, of_run, waiver_for

if TYPE_CHECKING:
    from tests.conftest import MakeProject, Project

EVALS = """
    @pytest.mark.gate("q4.regression")
    def test_regression(gate, measured):
        gate.judge(measured("q4.regression", -0.9))

    @pytest.mark.check("q1.effect")
    def test_effect(gate, measured):
        gate.judge(measured("q1.effect", 0.4))
"""
WAIVER = '[[waiver]]\ncheck = "q4.regression"\ncycle = "c1"\nexpires = {expires}\nreason = "known since the data of Monday"\n'
THRESHOLDS = load_thresholds(PROJECT / "thresholds.toml")
TODAY = date(2026, 11, 23)


def waiver(**changes: object) -> Waiver:
    plain = {"check": "q4.regression", "cycle": "c1", "expires": date(2026, 11, 30), "reason": "known"}
    return Waiver(**{**plain, **changes})  # type: ignore[arg-type]


@pytest.fixture
def project(make_project: MakeProject, tmp_path: Path) -> Project:
    return make_project(tmp_path, EVALS)


def test_a_waived_gate_blocks_nothing_and_its_verdict_stands(project: Project) -> None:
    project.write("waivers.toml", WAIVER.format(expires="2999-01-01"))
    result = project.run("evals", "--waivers", "waivers.toml", "--cycle", "c1")
    assert result.code == result.gate["exit_code"] == 0
    assert result.gate["verdict"] == result.verdicts["q4.regression[listening]"] == "fail"
    assert result.check("q4.regression[listening]")["waiver"]["reason"] == "known since the data of Monday"
    assert [(each["check"], each["state"]) for each in result.gate["waivers"]] == [("q4.regression", "used")]
    assert "fail, waived" in result.output and "waived: q4.regression[listening]; exit code 0" in result.output
    assert "1 waived" in result.output and "q4.regression is waived for cycle c1 until 2999-01-01" in result.output
    summary = (result.folder / "reports" / "summary.md").read_text(encoding="utf-8")
    assert "- ❌ (waived) q4.regression is -0.9" in summary and "known since the data of Monday" in summary
    files = (result.folder / "reports" / "allure-results").glob("*-result.json")
    (page,) = (one for one in (json.loads(file.read_text()) for file in files) if one["testCaseId"] == "q4.regression[listening]")
    assert page["status"] == "failed" and "known since the data of Monday" in page["descriptionHtml"] + page["statusDetails"]["message"]
    schema = json.loads((PROJECT / "reports" / "gate.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(result.gate, schema)


def test_a_waived_cycle_is_accepted_and_the_reason_recorded(project: Project) -> None:
    ask = ("evals", "-k", "regression", "--waivers", "waivers.toml", "--history", "history.sqlite")
    project.write("waivers.toml", WAIVER.format(expires="2999-01-01").replace("c1", "c2"))
    project.run(*ask, "--cycle", "c1")
    project.run(*ask, "--cycle", "c2")
    path = project.folder / "history.sqlite"
    thresholds = load_thresholds(project.folder / "thresholds.toml")
    with pytest.raises(InputError, match=r"c1 is not green \(q4\.regression\[listening\] is fail\)"):
        accept(path, "c1", thresholds)
    accept(path, "c2", thresholds)
    with sqlite3.connect(path) as connection:
        recorded = connection.execute("select cycle, forced from accepted").fetchall()
    assert recorded == [("c2", "q4.regression[listening] waived: known since the data of Monday")]


def test_without_the_waiver_the_same_gate_blocks(project: Project) -> None:
    result = project.run("evals", "--cycle", "c1")
    assert result.code == 1 and result.gate["waivers"] == [] and result.check("q4.regression[listening]")["waiver"] is None


def test_a_waiver_of_another_cycle_is_none_of_this_one(project: Project) -> None:
    project.write("waivers.toml", WAIVER.format(expires="2999-01-01"))
    result = project.run("evals", "--waivers", "waivers.toml", "--cycle", "c2")
    assert result.code == 1 and result.gate["waivers"] == []


def test_an_expired_waiver_is_reported_and_the_gate_blocks(project: Project) -> None:
    project.write("waivers.toml", WAIVER.format(expires="2020-01-01"))
    result = project.run("evals", "--waivers", "waivers.toml", "--cycle", "c1")
    assert result.code == 1 and result.gate["waivers"][0]["state"] == "expired"
    assert "the waiver of q4.regression for cycle c1 ended on 2020-01-01: the gate blocks again" in result.output


def test_a_waiver_of_no_gate_is_one_line_before_anything_runs(project: Project) -> None:
    project.write("waivers.toml", WAIVER.format(expires="2999-01-01").replace("q4.regression", "q1.effect"))
    result = project.run("evals", "--waivers", "waivers.toml")
    assert result.code == 4 and "waivers.toml:1: q1.effect is no gate; allowed: preflight.finite, q4.regression" in result.output


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('expires = "soon"', "expires = 'soon'; allowed: a date such as 2026-11-30"),
        ("expires = 2026-11-30T10:00:00", "allowed: a date such as 2026-11-30"),
        ('reason = " "', "reason is empty; a waiver says for which cycle and why"),
        ('until = "x"', '"until" is unknown; allowed: check, cycle, expires, reason, behavior'),
        ("cycle = 7", "cycle = 7; allowed: text"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, line: str, says: str) -> None:
    key = line.split(" = ")[0]
    kept = [each for each in WAIVER.format(expires="2999-01-01").splitlines() if not each.startswith(f"{key} =")]
    path = tmp_path / "waivers.toml"
    path.write_text("\n".join([*kept, line]) + "\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_waivers(path, THRESHOLDS)
    assert says in str(caught.value) and str(caught.value).startswith(f"{path}:1: ") and "\n" not in str(caught.value)


def test_a_missing_reason_is_named(tmp_path: Path) -> None:
    path = tmp_path / "waivers.toml"
    path.write_text('\n[[waiver]]\ncheck = "q4.regression"\ncycle = "c1"\nexpires = 2999-01-01\n', encoding="utf-8")
    with pytest.raises(InputError, match=":2: no reason; a waiver names check, cycle, expires and reason"):
        load_waivers(path, THRESHOLDS)


def test_another_table_is_refused_and_no_file_is_no_waiver(tmp_path: Path) -> None:
    path = tmp_path / "waivers.toml"
    assert load_waivers(path, THRESHOLDS) == ()
    path.write_text("[waivers]\nx = 1\n", encoding="utf-8")
    with pytest.raises(InputError, match="waivers is not known here"):
        load_waivers(path, THRESHOLDS)


def test_a_waiver_holds_through_its_last_day_and_covers_what_it_names() -> None:
    def found(outcome: Outcome = "fail", behavior: str = "listening", today: date = TODAY, **changes: object) -> bool:
        return waiver_for([waiver(**changes)], "q4.regression", behavior, outcome, "c1", today) is not None

    assert found() and found("inconclusive") and found(today=date(2026, 11, 30)) and found(behavior="listening")
    assert not found("error") and not found("pass") and not found(today=date(2026, 12, 1)) and not found(cycle="c2")
    assert not found(check="q6.code") and found(behavior="not-rushing")
    assert waiver_for([waiver(behavior="listening")], "q4.regression", "not-rushing", "fail", "c1", TODAY) is None


def test_what_became_of_a_waiver() -> None:
    used, other, old = waiver(), waiver(check="q6.code"), waiver(check="q6.perplexity", expires=date(2020, 1, 1))
    states = [each.state for each in of_run([used, other, old, waiver(cycle="c9")], [used], "c1", TODAY)]
    assert states == ["used", "not needed", "expired"]
