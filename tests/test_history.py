"""history.sqlite: what is recorded, which cycle may be accepted, and that concurrent runs lose nothing."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.data.measurement import Estimate, Level, Measurement
from harness.data.settings import Settings
from harness.data.threshold import Kind
from harness.data.verdict import Outcome, Verdict
from harness.gate.history import records as history
from harness.gate.history.diff import compare, lines
from harness.gate.verdict.entry import Entry
from harness.gate.verdict.run import Run


def entry(value: float = 0.3, outcome: Outcome = "pass", kind: Kind = "gate", data: str = "d1", id: str = "q4.regression") -> Entry:
    measurement = Measurement(
        id,
        "listening",
        "nats",
        Estimate(value, value - 0.1, value + 0.1, value - 0.2, value + 0.2, 0.002, 40, 8),
        per_scenario={"a": value, "b": value * 2},
        clusters={"a": "kitchen", "b": "garden"},
        provenance={"data_digest": data, "base_digest": "b1"},
    )
    return Entry(id, "listening", kind, Verdict(outcome, f"{value}", "message"), measurement)


def run(cycle: str, *entries: Entry, complete: bool = True, model: str = "tiny-hybrid") -> Run:
    return Run(Settings(model=model), cycle, "2026-01-01T00:00:00+00:00", entries, (), complete)


def record(path: Path, *runs: Run) -> Path:
    for each in runs:
        history.append_to(path, each)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "history.sqlite"


def test_a_measurement_is_read_back_with_scenarios_clusters_and_provenance(path: Path) -> None:
    cycle = history.read_cycle(record(path, run("c1", entry())), "c1")
    assert cycle is not None
    found = cycle.records["q4.regression[listening]"]
    assert (found.estimate, found.low_alpha, found.n, found.verdict) == (0.3, pytest.approx(0.1), 40, "pass")
    assert found.per_scenario == {"a": 0.3, "b": 0.6} and found.clusters["a"] == "kitchen" and found.provenance["data_digest"] == "d1"


def test_a_cycle_never_recorded_is_none(path: Path) -> None:
    assert history.read_cycle(path, "c1") is None and history.last_accepted(path) is None and history.cycle_names(path) == ()
    assert history.read_cycle(record(path, run("c1", entry())), "c2") is None


def test_a_second_run_of_a_cycle_replaces_what_it_measured_and_keeps_the_rest(path: Path) -> None:
    record(path, run("c1", entry(0.3), entry(1.0, id="q1.effect")), run("c1", entry(0.5)))
    cycle = history.read_cycle(path, "c1")
    assert cycle is not None
    assert {key: each.estimate for key, each in cycle.records.items()} == {"q4.regression[listening]": 0.5, "q1.effect[listening]": 1.0}


def test_an_entry_without_a_measurement_is_recorded_too(path: Path) -> None:
    broken = Entry("q1.effect", None, "check", Verdict("error", "-", "the engine died"))
    cycle = history.read_cycle(record(path, run("c1", broken)), "c1")
    assert cycle is not None and cycle.records["q1.effect"].estimate is None


def test_the_cycle_accepted_last_is_the_baseline(path: Path) -> None:
    record(path, run("c1", entry()), run("c2", entry()))
    history.accept(path, "c1")
    history.accept(path, "c2")
    assert history.last_accepted(path) == "c2"


def test_earlier_cycles_are_those_of_the_same_base(path: Path) -> None:
    record(path, run("c1", entry()), run("other", entry(), model="big"), run("c2", entry()), run("c3", entry()))
    assert [cycle.name for cycle in history.earlier_cycles(path, "tiny-hybrid", "c3", most=10)] == ["c1", "c2"]


def test_runs_at_the_same_time_lose_nothing(path: Path) -> None:
    runs = [run(f"c{number}", entry(number / 10)) for number in range(12)]
    with ProcessPoolExecutor(4) as pool:
        list(pool.map(history.append_to, [path] * len(runs), runs))
    assert sorted(history.cycle_names(path)) == sorted(each.cycle for each in runs)


def test_a_run_that_cannot_be_written_leaves_no_half(path: Path) -> None:
    record(path, run("c1", entry()))
    with pytest.raises(Exception, match="UNIQUE"):
        record(path, run("c2", entry(), entry()))
    assert history.cycle_names(path) == ("c1",)


def test_diff_subtracts_and_names_the_scenarios_that_moved(path: Path) -> None:
    record(path, run("c1", entry(0.3)), run("c2", entry(0.1, outcome="inconclusive")))
    assert lines(compare(path, "c1", "c2")) == [
        "q4.regression[listening]: pass -> inconclusive; 0.3 -> 0.1 (-0.2) nats; moved most: b -0.4, a -0.2"
    ]


def test_diff_never_subtracts_what_was_measured_on_other_data(path: Path) -> None:
    record(path, run("c1", entry(data="d1")), run("c2", entry(data="d2")))
    (change,) = compare(path, "c1", "c2")
    assert change.difference is None and not change.movers
    assert lines([change]) == ["q4.regression[listening]: pass; measured with another data_digest (d1, now d2): not compared"]


def held_against(baseline: str, estimate: float, **more: Any) -> Entry:
    found = entry(estimate)
    assert found.measurement is not None
    return replace(found, measurement=replace(found.measurement, null={"kind": f"cycle {baseline}"}, per_scenario={}, **more))


def test_differences_from_two_baselines_are_compared_by_their_levels(path: Path) -> None:
    """.2 above the one baseline, then .1 above the next: the second cycle is higher than the first, not .1 lower."""
    first = held_against("sunday", 0.2, level=Level(0.5, "nats above base"))
    record(path, run("c1", first), run("c2", held_against("c1", 0.1, level=Level(0.6, "nats above base"))))
    assert lines(compare(path, "c1", "c2")) == ["q4.regression[listening]: pass; 0.5 -> 0.6 (+0.1) nats above base"]


def test_differences_from_two_baselines_without_levels_are_not_compared(path: Path) -> None:
    record(path, run("c1", held_against("sunday", 0.2)), run("c2", held_against("c1", 0.1)))
    assert lines(compare(path, "c1", "c2")) == [
        "q4.regression[listening]: pass; held against another thing (cycle sunday, now cycle c1): not compared"
    ]


def test_diff_names_what_only_one_cycle_measured(path: Path) -> None:
    record(path, run("c1", entry()), run("c2", entry(id="q1.effect")))
    assert lines(compare(path, "c1", "c2")) == [
        "q4.regression[listening]: only in the first cycle",
        "q1.effect[listening]: only in the second cycle",
    ]
