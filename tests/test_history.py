"""history.sqlite: what is recorded, which cycle may be accepted, and that concurrent runs lose nothing."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from harness.data.errors import InputError
from harness.data.measurement import Estimate, Measurement
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


def test_a_measurement_is_read_back_with_scenarios_clusters_and_data(path: Path) -> None:
    cycle = history.read_cycle(record(path, run("c1", entry())), "c1")
    assert cycle is not None
    found = cycle.records["q4.regression[listening]"]
    assert (found.estimate, found.low_alpha, found.n, found.verdict) == (0.3, pytest.approx(0.1), 40, "pass")
    assert found.per_scenario == {"a": 0.3, "b": 0.6} and found.clusters["a"] == "kitchen" and found.data == {"data_digest": "d1"}


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


def test_a_green_cycle_is_accepted_and_becomes_the_baseline(path: Path) -> None:
    record(path, run("c1", entry()), run("c2", entry()))
    history.accept(path, "c1")
    history.accept(path, "c2")
    assert history.last_accepted(path) == "c2"


@pytest.mark.parametrize(
    ("recorded", "why"),
    [
        (run("c1", entry(outcome="fail")), "q4.regression[listening] is fail; no gate passed"),
        (run("c1", entry(outcome="inconclusive")), "is inconclusive"),
        (run("c1", entry(kind="check")), "no gate passed"),
        (run("c1", entry(), complete=False), "its last run is not complete"),
    ],
)
def test_a_cycle_that_is_not_green_is_refused_without_a_reason(path: Path, recorded: Run, why: str) -> None:
    record(path, recorded)
    with pytest.raises(InputError) as caught:
        history.accept(path, "c1", force="  ")
    assert why in str(caught.value) and "only with --force REASON" in str(caught.value) and "\n" not in str(caught.value)
    assert history.last_accepted(path) is None
    history.accept(path, "c1", force="known, see the log of today")
    assert history.last_accepted(path) == "c1"


def test_a_red_check_does_not_stand_in_the_way_of_green_gates(path: Path) -> None:
    record(path, run("c1", entry(), entry(outcome="fail", kind="check", id="q1.knee")))
    history.accept(path, "c1")
    assert history.last_accepted(path) == "c1"


def test_an_unknown_cycle_cannot_be_accepted_even_by_force(path: Path) -> None:
    record(path, run("c1", entry()))
    with pytest.raises(InputError, match=r"cycle c9: not in .*; recorded last: c1"):
        history.accept(path, "c9", force="please")


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
    assert change.difference is None and lines([change]) == ["q4.regression[listening]: pass; measured on other data, not compared"]


def test_diff_names_what_only_one_cycle_measured(path: Path) -> None:
    record(path, run("c1", entry()), run("c2", entry(id="q1.effect")))
    assert lines(compare(path, "c1", "c2")) == [
        "q4.regression[listening]: only in the first cycle",
        "q1.effect[listening]: only in the second cycle",
    ]
