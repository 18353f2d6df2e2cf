"""The plugin, run by pytest on small made-up evals: verdicts, colors, exit codes, preflight, xdist."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest

from harness.data.verdict import Outcome, Verdict
from harness.gate.history import records as history
from harness.gate.verdict.entry import Entry
from harness.gate.verdict.judged import resting_on

if TYPE_CHECKING:
    from tests.conftest import MakeProject, Project, Result

EVERY_VERDICT = """
    @pytest.mark.check("q1.effect")
    def test_effect(gate, measured):
        gate.judge(measured("q1.effect", 0.3))

    @pytest.mark.gate("q4.regression")
    def test_regression(gate, measured):
        gate.judge(measured("q4.regression", -0.2, width=0.3))

    @pytest.mark.finding("q1.onset")
    def test_onset(gate, behavior):
        gate.judge(Measurement("q1.onset", behavior, "examples", answer="continuous"))

    @pytest.mark.finding("q7.disposition")
    def test_disposition(gate, behavior):
        gate.judge(Measurement("q7.disposition", behavior, "", reason="no such layers", not_applicable=True))
"""
KEYS = {
    "preflight.finite[listening]": "pass",
    "preflight.data[listening]": "settled",
    "q1.effect[listening]": "pass",
    "q4.regression[listening]": "inconclusive",
    "q1.onset[listening]": "settled",
    "q7.disposition[listening]": "not_applicable",
}

ONE = """
    @pytest.mark.check("q1.effect")
    def test_effect(gate, measured):
        gate.judge(measured("q1.effect", {value}))
"""


@pytest.fixture(scope="module")
def every(make_project: MakeProject, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return make_project(tmp_path_factory.mktemp("every"), EVERY_VERDICT).run("evals", "-v", "-rA")


def one(make_project: MakeProject, folder: Path, value: float = 0.3, *, finite: float | None = 0) -> Project:
    return make_project(folder, ONE.format(value=value), finite=finite)


def test_every_check_has_one_entry_and_preflight_is_among_them(every: Result) -> None:
    assert every.verdicts == KEYS


def test_inconclusive_has_a_word_and_a_count_of_its_own(every: Result) -> None:
    assert "test_regression[listening] INCONCLUSIVE" in every.output
    assert "2 passed, 1 skipped, 1 inconclusive" in every.output


def test_the_table_ends_with_the_report(every: Result) -> None:
    table = [" ".join(line.split()) for line in every.output.split("behavioral evals =")[1].splitlines()]
    assert "question check answer estimate threshold n verdict seconds" in table
    assert any(line.startswith("q1 effect 0.3 nats 0.3 [0.25, 0.35] ≥ 0.1 40 pass 0.") for line in table)
    assert f"report: {every.folder}/reports/summary.md" in table


def test_an_inconclusive_gate_makes_the_run_red(every: Result) -> None:
    assert (every.code, every.gate["verdict"], every.gate["exit_code"], every.gate["complete"]) == (1, "inconclusive", 1, True)


def test_an_inconclusive_gate_is_red_even_where_inconclusive_is_allowed(make_project: MakeProject, tmp_path: Path) -> None:
    result = make_project(tmp_path, EVERY_VERDICT).run("evals", "--inconclusive", "allow")
    assert (result.code, result.gate["verdict"], result.gate["exit_code"]) == (1, "inconclusive", 1)


@pytest.mark.parametrize(("allow", "code"), [("allow", 0), ("fail", 1)])
def test_allowing_inconclusive_is_about_checks_and_findings(make_project: MakeProject, tmp_path: Path, allow: str, code: int) -> None:
    wide = ONE.replace("{value}", "0.1, width=0.3")
    result = make_project(tmp_path, wide).run("evals", "--inconclusive", allow)
    assert (result.code, result.verdicts["q1.effect[listening]"], result.gate["verdict"]) == (code, "inconclusive", "pass")


def test_two_workers_say_the_same_as_one(make_project: MakeProject, every: Result, tmp_path: Path) -> None:
    result = make_project(tmp_path, EVERY_VERDICT).run("evals", "-n", "2")
    assert result.verdicts == every.verdicts
    assert (result.code, result.gate["selected"]) == (every.code, every.gate["selected"])
    assert [check["key"] for check in result.gate["checks"]] == [check["key"] for check in every.gate["checks"]]


def test_a_failed_check_shows_its_sentence_and_ends_with_one(make_project: MakeProject, tmp_path: Path) -> None:
    result = one(make_project, tmp_path, value=-0.3).run("evals")
    assert (result.code, result.verdicts["q1.effect[listening]"], result.gate["verdict"]) == (1, "fail", "pass")
    assert "fail: q1.effect is -0.3 [-0.35, -0.25] nats" in result.output


def test_everything_fine_ends_with_zero(make_project: MakeProject, tmp_path: Path) -> None:
    result = one(make_project, tmp_path).run("evals")
    assert (result.code, result.gate["verdict"]) == (0, "pass")


def test_nothing_selected_leaves_nothing_and_ends_with_five(make_project: MakeProject, tmp_path: Path) -> None:
    result = one(make_project, tmp_path).run("evals", "-k", "nonsense")
    assert result.code == 5 and not (tmp_path / "reports" / "gate.json").exists() and "behavioral evals =" not in result.output


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("--behavior", "no-such-one"), 4), (("--profile", "slow"), 4), (("--thresholds", "nowhere.toml"), 4)],
    ids=["an input", "an option", "a file"],
)
def test_a_run_that_is_refused_leaves_no_older_verdict(
    make_project: MakeProject, tmp_path: Path, arguments: tuple[str, ...], code: int
) -> None:
    project = make_project(tmp_path, ONE.format(value=0.3))
    assert project.run("evals", "--cycle", "monday").gate["verdict"] == "pass"
    (tmp_path / "reports" / "html").mkdir(exist_ok=True)
    (tmp_path / "reports" / "html" / "index.html").write_text("green")
    refused = project.run("evals", "--cycle", "tuesday", *arguments)
    assert refused.code == code
    told = {name: refused.gate[name] for name in ("cycle", "verdict", "complete", "exit_code", "checks")}
    assert told == {"cycle": "tuesday", "verdict": "error", "complete": False, "exit_code": 3, "checks": []}
    assert "**not complete**" in (tmp_path / "reports" / "summary.md").read_text(encoding="utf-8")
    assert not (tmp_path / "reports" / "html" / "index.html").exists()


def test_a_run_that_is_killed_leaves_no_older_verdict(make_project: MakeProject, tmp_path: Path) -> None:
    project = make_project(tmp_path, ONE.format(value=0.3))
    assert project.run("evals").gate["verdict"] == "pass"
    project.write("evals/conftest.py", "import os, pytest\n\n@pytest.fixture(scope='session')\ndef preflight():\n    os._exit(9)\n")
    killed = project.run("evals", "--cycle", "tuesday")
    assert (killed.gate["cycle"], killed.gate["verdict"], killed.gate["complete"]) == ("tuesday", "error", False)


def test_reports_that_cannot_be_written_are_one_line_before_anything_runs(make_project: MakeProject, tmp_path: Path) -> None:
    project = make_project(tmp_path, ONE.format(value=0.3))
    project.write("taken", "a file")
    refused = project.run("evals", "--reports", "taken")
    assert refused.code == 4
    assert "taken: cannot be written (" in refused.output


@pytest.mark.parametrize("damage", ["a text file", "another program's tables", "a folder"])
def test_a_history_that_cannot_be_written_is_refused_before_anything_runs(make_project: MakeProject, tmp_path: Path, damage: str) -> None:
    project, place = make_project(tmp_path, ONE.format(value=0.3)), tmp_path / "history.db"
    if damage == "a text file":
        project.write("history.db", "these are my notes\n" * 100)
    elif damage == "a folder":
        place.mkdir()
    else:
        with closing(sqlite3.connect(place)) as connection:
            connection.execute("create table runs (distance real)")
            connection.commit()
    refused = project.run("evals", "--history", "history.db")
    assert refused.code == 4 and "history.db: cannot be written (" in refused.output
    assert "1 passed" not in refused.output


def test_a_run_that_is_not_recorded_ends_with_three(make_project: MakeProject, tmp_path: Path) -> None:
    """The history breaks while the tests run."""
    body = (
        ONE.format(value=0.3)
        + "\n    @pytest.mark.finding('q1.b')\n    def test_b(gate, settings): settings.history_path.write_text('x' * 5000)\n"
    )
    broken = make_project(tmp_path, body).run("evals", "--history", "history.db")
    assert broken.code == 3 and broken.gate["exit_code"] == 3
    assert "history could not be written" in broken.output


def test_a_trial_of_the_history_leaves_nothing(tmp_path: Path) -> None:
    history.probe(tmp_path / "history.sqlite")
    assert history.cycle_names(tmp_path / "history.sqlite") == ()


def test_plain_tests_are_left_alone(make_project: MakeProject, tmp_path: Path) -> None:
    project = one(make_project, tmp_path)
    project.write("tests/test_plain.py", "def test_fine(): pass\n\ndef test_broken(): assert False\n")
    result = project.run("tests")
    assert result.code == 1 and not (tmp_path / "reports").exists() and "behavioral evals =" not in result.output


def test_without_xdist_and_allure_the_plugin_works(make_project: MakeProject, tmp_path: Path) -> None:
    result = one(make_project, tmp_path).run("evals", "-p", "no:xdist", "-p", "no:allure_pytest")
    assert result.code == 0 and "q1.effect[listening]" in result.verdicts


def test_what_rests_on_a_failed_preflight_is_inconclusive_and_names_it(make_project: MakeProject, tmp_path: Path) -> None:
    result = one(make_project, tmp_path, finite=3).run("evals")
    check = result.check("q1.effect[listening]")
    assert (result.verdicts["preflight.finite[listening]"], check["verdict"], result.code) == ("fail", "inconclusive", 1)
    assert (
        check["message"] == "q1.effect rests on preflight.finite, which came out fail: mend that first, then this number means something."
    )


@pytest.mark.parametrize("outcome", get_args(Outcome))
def test_only_what_passed_settled_or_does_not_apply_carries_a_verdict(outcome: Outcome) -> None:
    needed = Entry("preflight.judge", "listening", "gate", Verdict(outcome, "-", "said"))
    rests = Entry("q4.judged_rate", "listening", "gate", Verdict("pass", "0", "fine", proven_loss=True), needs=("preflight.judge",))
    found = resting_on({"preflight.judge": needed}, rests).verdict
    if outcome in ("pass", "settled", "not_applicable"):
        assert found == rests.verdict
    else:
        assert (found.outcome, found.proven_loss) == ("inconclusive", False)
        assert f"rests on preflight.judge, which came out {outcome}" in found.message


def test_a_need_nobody_measured_makes_the_check_inconclusive(make_project: MakeProject, tmp_path: Path) -> None:
    result = make_project(tmp_path, ONE.format(value=0.3).replace('"q1.effect")', '"q1.effect", needs=("preflight.judge",))', 1)).run(
        "evals"
    )
    assert "preflight.judge, which preflight did not measure" in result.check("q1.effect[listening]")["message"]


def test_a_broken_preflight_is_an_error_of_every_check(make_project: MakeProject, tmp_path: Path) -> None:
    result = one(make_project, tmp_path, finite=None).run("evals")
    assert (result.code, result.verdicts) == (3, {"q1.effect[listening]": "error"})
    assert "the engine died" in result.check("q1.effect[listening]")["message"]


def test_a_broken_instrument_ends_with_three(make_project: MakeProject, tmp_path: Path) -> None:
    body = """
        @pytest.fixture
        def broken(behavior):
            raise RuntimeError("out of memory")

        @pytest.mark.check("q1.effect")
        def test_effect(gate, broken):
            pass

        @pytest.mark.check("q1.nothing")
        def test_nothing(gate, behavior):
            pass

        @pytest.mark.check("q1.other")
        def test_other(gate, measured):
            gate.judge(measured("q1.another", 1))
    """
    result = make_project(tmp_path, body).run("evals")
    messages = {check["id"]: check["message"] for check in result.gate["checks"] if check["verdict"] == "error"}
    assert result.code == 3
    assert messages == {
        "q1.effect": "q1.effect was not measured (in the test's setup): RuntimeError: out of memory",
        "q1.nothing": "q1.nothing was not measured: the test handed nothing to the gate.",
        "q1.other": "q1.other was not measured: the test is marked q1.other but hands in q1.another",
    }


def test_a_fail_outweighs_a_broken_instrument(make_project: MakeProject, tmp_path: Path) -> None:
    body = ONE.format(value=-0.3) + "\n    @pytest.mark.check('q1.b')\n    def test_b(gate, behavior): raise RuntimeError('x')\n"
    assert make_project(tmp_path, body).run("evals").code == 1


def test_a_module_that_cannot_be_imported_is_a_broken_instrument(make_project: MakeProject, tmp_path: Path) -> None:
    result = make_project(tmp_path, "import nonsense_module").run("evals")
    assert (result.code, result.gate["verdict"], result.gate["complete"]) == (3, "error", False)


def test_a_run_stopped_early_is_not_complete(make_project: MakeProject, tmp_path: Path) -> None:
    body = (
        ONE.format(value=-0.3)
        + "\n    @pytest.mark.gate('q4.regression')\n    def test_z(gate, measured): gate.judge(measured('q4.regression', 0))\n"
    )
    result = make_project(tmp_path, body).run("evals", "-x")
    assert (result.gate["complete"], result.gate["verdict"], result.verdicts["q4.regression[listening]"]) == (False, "error", "error")


def test_a_worker_that_crashes_leaves_an_error(make_project: MakeProject, tmp_path: Path) -> None:
    body = ONE.format(value=0.3) + "\n    @pytest.mark.gate('q4.regression')\n    def test_crash(gate, measured): import os; os._exit(1)\n"
    result = make_project(tmp_path, body).run("evals", "-n", "1")
    assert (result.code, result.gate["verdict"], result.gate["complete"]) == (3, "error", False)
    assert result.verdicts["q1.effect[listening]"] == "pass"
    assert "crashed" in result.check("q4.regression[listening]")["message"]


def test_each_behavior_is_a_check_of_its_own(make_project: MakeProject, tmp_path: Path) -> None:
    result = one(make_project, tmp_path).run("evals", "--behavior", "listening", "--behavior", "not-rushing")
    assert {"q1.effect[listening]", "q1.effect[not-rushing]", "preflight.finite[not-rushing]"} <= set(result.verdicts)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--engine", "gguf"), "--engine gguf: not allowed; allowed: hf or vllm"),
        (("--baseline", "monday"), "--baseline monday: given without --candidate; allowed: both, or neither"),
        (("--tensor-parallel", "0"), "--tensor-parallel 0: not allowed; allowed: a whole number, 1 or more"),
        (("--vllm", "0.6"), "--vllm 0.6: not allowed; allowed: NAME=VALUE, such as gpu_memory_utilization=0.6"),
        (("--seed", "-1"), "--seed -1: not allowed; allowed: a whole number, 0 or more"),
        (("--seed", "9" * 23), f"--seed {'9' * 23}: not allowed; allowed: a whole number, 9223372036854775807 or less"),
        (("--cycle", "mon\nday"), "--cycle 'mon\\nday': not allowed; allowed: a name of printable characters"),
        (("--profile", "slow"), "--profile slow: not allowed; allowed: quick or full"),
        (("--inconclusive", "maybe"), "--inconclusive maybe: not allowed; allowed: fail or allow"),
    ],
)
def test_a_value_that_is_not_allowed_is_one_line_and_four(
    make_project: MakeProject, tmp_path: Path, arguments: tuple[str, str], line: str
) -> None:
    result = one(make_project, tmp_path).run("evals", *arguments)
    assert (result.code, result.output.strip()) == (4, f"ERROR: {line}")


def test_bad_input_is_one_line_before_anything_runs(make_project: MakeProject, tmp_path: Path) -> None:
    project = one(make_project, tmp_path)
    project.write(
        "conftest.py",
        """
        from harness.data.errors import InputError

        def pytest_evals_validate(settings):
            raise InputError(f"{settings.model}: no such model")
        """,
    )
    result = project.run("evals", "--model", "nonsense")
    assert (result.code, result.output.strip()) == (4, "ERROR: nonsense: no such model")


def test_bad_thresholds_are_one_line_before_anything_runs(make_project: MakeProject, tmp_path: Path) -> None:
    project = one(make_project, tmp_path)
    project.write("thresholds.toml", '["q1.effect"]\nkind = "check"\nat_lest = 1\nreason = "r"\n')
    result = project.run("evals")
    assert result.code == 4 and result.output.startswith(f'ERROR: {tmp_path}/thresholds.toml:3: "at_lest" in ["q1.effect"] is unknown')


def test_a_gate_that_thresholds_do_not_call_one_is_refused(make_project: MakeProject, tmp_path: Path) -> None:
    result = make_project(tmp_path, ONE.format(value=0.3).replace("mark.check", "mark.gate")).run("evals")
    assert result.code == 3
    assert "q1.effect is marked gate but thresholds.toml says kind check of it" in result.check("q1.effect[listening]")["message"]


def test_progress_is_seen_although_output_is_captured(make_project: MakeProject, tmp_path: Path) -> None:
    body = ONE.format(value=0.3).replace("(gate, measured):", "(gate, measured, progress):\n        progress('training arm 3 of 30')")
    assert "\n  training arm 3 of 30\n" in make_project(tmp_path, body).run("evals").output


def test_selecting_the_gates_by_marker_leaves_the_rest_out(make_project: MakeProject, tmp_path: Path) -> None:
    result = make_project(tmp_path, EVERY_VERDICT).run("evals", "-m", "gate")
    assert result.gate["selected"] == ["q4.regression[listening]"]


def test_a_teardown_that_breaks_takes_the_verdict_with_it(make_project: MakeProject, tmp_path: Path) -> None:
    body = """
        @pytest.fixture
        def engine():
            yield
            raise RuntimeError("could not shut down")

        @pytest.mark.check("q1.effect")
        def test_effect(gate, measured, engine):
            gate.judge(measured("q1.effect", 0.3))
    """
    result = make_project(tmp_path, body).run("evals")
    check = result.check("q1.effect[listening]")
    assert (result.code, check["verdict"]) == (3, "error")
    assert check["message"] == "q1.effect was not measured (in the test's teardown): RuntimeError: could not shut down"
    assert check["estimate"] == 0.3


DYING = """
    @pytest.mark.check("q1.effect")
    def test_before(gate, measured): gate.judge(measured("q1.effect", 0.3))
    @pytest.mark.gate("q4.regression")
    def test_in_mid_run(gate, measured):
        from harness.data.errors import EngineDied
        raise EngineDied("vllm's worker died in mid-run while it served base")
"""


def test_an_engine_that_dies_leaves_what_was_measured_and_nothing_passes_for_it(make_project: MakeProject, tmp_path: Path) -> None:
    result = make_project(tmp_path, DYING).run("evals")
    assert result.verdicts["q1.effect[listening]"] == "pass"
    died = result.check("q4.regression[listening]")
    assert died["verdict"] == "inconclusive" and died["kind"] == "gate"
    assert died["message"] == (
        "q4.regression was not measured: vllm's worker died in mid-run while it served base; what was measured before stands."
    )
    assert (result.code, result.gate["verdict"]) == (3, "inconclusive")


def test_an_engine_that_dies_is_no_green_run_even_where_inconclusive_is_allowed(make_project: MakeProject, tmp_path: Path) -> None:
    result = make_project(tmp_path, DYING).run("evals", "--inconclusive", "allow")
    assert (result.code, result.gate["complete"]) == (3, False)
