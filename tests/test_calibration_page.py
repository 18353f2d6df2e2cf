"""The report's page on how often the gate errs: shown for the base and behavior of the run, and for no other."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.data.measurement import Estimate, Measurement, Spread
from harness.data.settings import Settings
from harness.data.threshold import Threshold
from harness.data.verdict import Verdict
from harness.gate.reports import allure_results
from harness.gate.reports.calibration_page import pages
from harness.gate.reports.check_page import page
from harness.gate.reports.terminal import tolerated
from harness.gate.verdict.entry import Entry
from harness.gate.verdict.run import Run

RATE = {
    "value": 0.02,
    "events": 2,
    "runs": 100,
    "adapters": 20,
    "low": 0.0,
    "high": 0.1,
    "low_independent": 0.002,
    "high_independent": 0.07,
}


def entry(holds: bool = True) -> dict[str, Any]:
    row = {
        "kind": "re<trained>",
        "what": "another adapter",
        "planted": False,
        "runs": 100,
        "subjects": 20,
        "lost": {"mean": 0.12, "least": 0.1, "most": 0.14},
        **dict.fromkeys(("fails", "inconclusive", "green"), RATE),
        "checks": {
            "q4.regression": {"verdicts": {"pass": 0.97, "fail": 0.02, "inconclusive": 0.01}, "fails": RATE, "inconclusive": RATE},
            "q6.reasoning": {"verdicts": {"not_applicable": 1.0}, "fails": RATE, "inconclusive": RATE},
        },
    }
    target = {"kind": "re<trained>", "column": "fails", "at_most": 0.01, "at_least": None, "measured": 0.02, "holds": holds}
    return {
        "base": "b1",
        "behavior": "d1",
        "profile": "quick",
        "adapters": 20,
        "made": "2026-11-23",
        "retrained": {"q4.regression": {"deviation": 0.19, "adapters": 20}},
        "continued": {"q4.regression": {"deviation": 0.034, "adapters": 20}},
        "kinds": [row],
        "targets": [target],
    }


def run(folder: Path, content: object, base: str = "b1") -> Run:
    path = folder / "calibration.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    measurement = Measurement("q4.regression", "listening", "share", provenance={"base": base, "behavior": "d1"})
    checked = Entry("q4.regression", "listening", "gate", Verdict("pass", "0", "fine"), measurement)
    return Run(Settings(calibration=path, reports=folder), "c1", "2026-01-01T00:00:00+00:00", (checked,), (), complete=True)


@pytest.mark.parametrize(
    ("holds", "status", "says"), [(True, "passed", "every target holds"), (False, "broken", "1 of 1 targets do not hold")]
)
def test_the_page_is_a_result_of_its_own_with_rates_and_targets(tmp_path: Path, holds: bool, status: str, says: str) -> None:
    made = run(tmp_path, {"schema": 2, "subjects": {"tiny/listening": entry(holds)}})
    allure_results.complete(tmp_path / "results", made, {})
    found = [json.loads(file.read_text(encoding="utf-8")) for file in (tmp_path / "results").glob("*-result.json")]
    (result,) = (one for one in found if one["testCaseId"] == "calibration tiny/listening")
    assert len(found) == 2 and result["status"] == status and says in result["name"]
    rate = "2.0 % [0.0, 10.0]; were runs independent [0.2, 7.0]"
    for part in ("re&lt;trained&gt;", rate, "2.0 % [0.0, 10.0]</td>", "0.120 (0.100 to 0.140)", "not applicable", "0.19", "0.034"):
        assert part in result["descriptionHtml"]


def test_the_table_and_the_check_say_how_much_is_tolerated_because_of_seeds(tmp_path: Path) -> None:
    threshold = Threshold("q4.regression", "gate", "why", alpha=0.001, at_least=-0.25)
    measurement = Measurement(
        "q4.regression", "listening", "share", Estimate(0, -0.1, 0.1, -0.2, 0.2, 0.001, 224, 32), spread=Spread(0.19, 20)
    )
    known = Entry("q4.regression", "listening", "gate", Verdict("pass", "0", "fine"), measurement, threshold)
    unknown = replace(known, measurement=replace(measurement, spread=None))
    made = run(tmp_path, {"schema": 2, "subjects": {}})
    assert (tolerated(known), tolerated(unknown)) == (" (seeds: 0.68)", "")
    assert "One in 1000 trainings under another seed is worse by 0.68 or more" in page(known, made, {})
    assert "from 20 adapters" in page(known, made, {}) and "under another seed" not in page(unknown, made, {})


def test_a_calibration_of_other_weights_is_not_shown(tmp_path: Path) -> None:
    assert list(pages(run(tmp_path, {"schema": 2, "subjects": {"tiny/listening": entry()}}, base="b2"))) == []


@pytest.mark.parametrize("content", [[], {"schema": 1, "subjects": {}}])
def test_a_file_that_is_no_calibration_takes_no_report_with_it(tmp_path: Path, content: object) -> None:
    assert list(pages(run(tmp_path, content))) == []
