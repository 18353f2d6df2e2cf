"""The calibration: doses that are found, plants that are broken as named, runs that say what `pytest evals` says, and its table.

The fast calibration: some dozens of runs from the recordings of the shipped model, which are in the repository.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from typer.testing import CliRunner

from evals.calibrated import Arrays, MeasuredSubject, Sampling
from evals.calibration import command
from evals.calibration.book import Book, book_path, load, save
from evals.calibration.declared import GATES
from evals.calibration.doses import TRIES, nearest
from evals.calibration.plants import planted as plants_of
from evals.calibration.recording import data_digest
from evals.calibration.runs import CONTINUATION, UNDONE, WEAK, Gate, Plan, against_base, elsewhere, inverted, onward, other_seed
from evals.calibration.table import RETRAINED, Sizes, markdown, summary, targets, unfinished
from evals.continuation import SKETCH
from harness.__main__ import app
from harness.data.errors import InputError
from harness.data.measurement import Spread
from harness.data.settings import PROJECT, Settings
from harness.engines.protocol import score
from harness.experiment.seed_spread import SeedSpreads, read_calibration, seed_spreads_of
from harness.gate.verdict.thresholds import load_thresholds

if TYPE_CHECKING:
    from harness.arms.maker import ArmMaker
    from harness.data.subject import Subject
    from harness.engines.hf.engine import HFEngine
    from tests.conftest import MakeAdapter

THRESHOLDS = load_thresholds(PROJECT / "thresholds.toml")
DOMAINS, PAIRS, DOCUMENTS, TASKS, SAMPLES, REPLIES = 16, 128, 48, 40, 10, 8


def made_up(adapters: int = 8, seed: int = 0) -> Book:
    """Good adapters that differ a little, and plants: one loses the behavior, one prose, one is dead, one is not finite."""
    rng = np.random.default_rng(seed)
    domains = np.repeat([f"d{i}" for i in range(DOMAINS)], PAIRS // DOMAINS)
    effect = 0.6 + 0.2 * rng.standard_normal(PAIRS)
    ability = rng.choice([0.0, 0.9, 1.0], TASKS, p=[0.1, 0.4, 0.5])

    heard = np.clip(0.75 + 0.2 * rng.standard_normal(PAIRS), 0.05, 0.95)

    def measured(kind: str, adapter: int) -> MeasuredSubject:
        own = np.random.default_rng([seed, adapter])
        arrays = {
            "shift": effect * (1 + 0.1 * own.standard_normal()) + 0.1 * own.standard_normal(PAIRS),
            "prose": 0.01 + 0.003 * own.standard_normal() + 0.005 * own.standard_normal(DOCUMENTS),
            "code": own.random((SAMPLES, TASKS)) < ability,
            "live": np.array(3.0),
            "bad": np.array(0.0),
            "positive": own.random((REPLIES, PAIRS)) < heard,
            SKETCH: np.eye(adapters)[adapter],
            "youden": np.full(PAIRS, 0.95),
        }
        return MeasuredSubject(kind, adapter, f"{kind}-{adapter}", arrays)

    def gone_on(one: MeasuredSubject, nth: int) -> MeasuredSubject:
        own = np.random.default_rng([seed, one.adapter, nth])
        arrays = {
            "shift": one.arrays["shift"] * (1.1 + 0.02 * own.standard_normal()) + 0.03 * own.standard_normal(PAIRS),
            "prose": one.arrays["prose"] + 0.0005 * own.standard_normal(DOCUMENTS),
            "positive": own.random((REPLIES, PAIRS)) < heard,
        }
        return changed(replace(one, kind=CONTINUATION, digest=f"{CONTINUATION}-{one.adapter}-{nth}"), **arrays)

    good = [measured("good", i) for i in range(adapters)]
    bad = [
        changed(measured(kind, one.adapter), lost=lost, **arrays)
        for one in good
        for kind, lost, arrays in (
            ("20-point loss", 0.2, {"shift": one.arrays["shift"] - 1.5 - 0.2 * rng.standard_normal(PAIRS)}),
            ("in what is said", None, {"positive": rng.random((REPLIES, PAIRS)) < heard - 0.3}),
            ("noise", None, {"prose": one.arrays["prose"] + 0.2 + 0.02 * rng.standard_normal(DOCUMENTS)}),
            ("inactive", None, {"shift": np.zeros(PAIRS), "live": np.array(0.0)}),
            ("broken", None, {"live": np.array(np.nan), "bad": np.array(7.0)}),
            ("wrong sign", None, {"shift": -3 * one.arrays["shift"], "positive": rng.random((REPLIES, PAIRS)) < heard - 0.6}),
            (WEAK, None, {"shift": 0.1 * one.arrays["shift"] + 0.01 * rng.standard_normal(PAIRS)}),
            (UNDONE, None, {"shift": -0.1 * one.arrays["shift"] + 0.01 * rng.standard_normal(PAIRS)}),
        )
    ]
    bad += [gone_on(one, nth) for one in good for nth in (1, 2)]
    common = {
        "documents": np.repeat([f"p{i}" for i in range(12)], DOCUMENTS // 12),
        "tiers/code": np.array(["one-liner"] * TASKS),
        "base/code": rng.random((SAMPLES, TASKS)) < ability,
        "base-positive": rng.random((REPLIES, PAIRS)) < 0.3,
    }
    return Book("tiny-hybrid", "listening", "base", "behavior", domains, common, (*good, *bad), "data")


def changed(one: MeasuredSubject, lost: float | None = None, **arrays: Any) -> MeasuredSubject:
    """The same subject with other arrays."""
    return replace(one, arrays={**one.arrays, **arrays}, lost=lost)


@pytest.fixture(scope="module")
def gate() -> Gate:
    return Gate(made_up(), THRESHOLDS)


# -- runs --------------------------------------------------------------------------------------------------------------


def test_adapters_under_other_seeds_raise_no_alarm(gate: Gate) -> None:
    outcomes = [gate.run(plan) for plan in other_seed(gate.good, 1)]
    assert not any(outcome.failed for outcome in outcomes)
    assert sum(outcome.green for outcome in outcomes) >= 0.8 * len(outcomes)


def test_continuations_raise_none_either(gate: Gate) -> None:
    outcomes = [gate.run(plan) for plan in onward(gate.good, gate.book.of(CONTINUATION), 2)]
    assert len(outcomes) == 2 * 16 and not any(outcome.failed for outcome in outcomes)
    assert sum(outcome.green for outcome in outcomes) >= 0.9 * len(outcomes)


def test_a_candidate_that_goes_on_is_held_to_what_continuations_differ_by(gate: Gate) -> None:
    """A loss that trainings begun anew may show is none that a continuation may show."""
    apart = tuple(
        changed(one, prose=one.arrays["prose"] + 0.05 * np.random.default_rng(one.adapter).standard_normal()) for one in gate.good
    )
    onwards = tuple(
        changed(one, prose=one.arrays["prose"] - gate.good[one.adapter].arrays["prose"] + apart[one.adapter].arrays["prose"])
        for one in gate.book.of(CONTINUATION)
    )
    wide = Gate(replace(gate.book, subjects=(*apart, *onwards)), THRESHOLDS)
    spreads = wide.seed_spreads()
    assert spreads.retrained["q6.perplexity"].deviation > 10 * spreads.continued["q6.perplexity"].deviation
    costly = [changed(one, prose=one.arrays["prose"] + 0.03) for one in onwards]
    assert {wide.run(plan).verdicts["q6.perplexity"] for plan in onward(apart, costly, 1)} == {"fail"}
    assert "fail" not in {wide.run(plan).verdicts["q6.perplexity"] for plan in other_seed(apart, 1)}


def test_what_all_continuations_gain_and_what_sampling_adds_is_no_spread(gate: Gate) -> None:
    spreads = gate.seed_spreads()
    gains = [one.arrays["shift"].mean() - gate.good[one.adapter].arrays["shift"].mean() for one in gate.book.of(CONTINUATION)]
    assert np.mean(gains) > 0.04 and spreads.continued["q4.regression"].deviation == pytest.approx(np.std(gains), rel=1e-6)
    rates = [one.arrays["positive"].mean() - gate.good[one.adapter].arrays["positive"].mean() for one in gate.book.of(CONTINUATION)]
    assert spreads.continued["q4.judged_rate"].deviation < 0.75 * np.std(rates)  # the same scenarios and rates: all of it is sampling


def test_the_same_subject_with_new_samples_is_green(gate: Gate) -> None:
    for plan in onward(gate.good, gate.good, 1):
        verdicts = gate.run(plan).verdicts
        assert verdicts["q4.regression"] == verdicts["q4.worst_domain"] == verdicts["q6.perplexity"] == "pass"
        assert verdicts["q6.code"] != "fail"


def test_few_inverted_domains_are_seen_by_the_gate_that_is_there_for_them(gate: Gate) -> None:
    outcomes = [gate.run(plan) for plan in inverted(gate.book, 2, 1)]
    assert len(outcomes) == 16 and {outcome.verdicts["q4.worst_domain"] for outcome in outcomes} == {"fail"}
    assert "fail" not in {outcome.verdicts["q4.regression"] for outcome in outcomes}


def test_a_weak_cycle_is_not_undone_unseen(gate: Gate) -> None:
    for plan in onward(gate.book.of(WEAK), gate.book.of(UNDONE), 1):
        assert gate.run(plan).verdicts["q4.regression"] == "fail"


@pytest.mark.parametrize(
    ("kind", "check", "outcome"),
    [
        ("20-point loss", "q4.regression", "fail"),
        ("in what is said", "q4.judged_rate", "fail"),
        ("in what is said", "q4.regression", "pass"),
        ("noise", "q6.perplexity", "fail"),
        ("inactive", "preflight.adapter_is_live", "fail"),
        ("inactive", "q4.regression", "inconclusive"),
        ("broken", "preflight.finite", "fail"),
        ("broken", "preflight.adapter_is_live", "inconclusive"),
    ],
)
def test_a_plant_is_caught_by_the_check_that_is_there_for_it(gate: Gate, kind: str, check: str, outcome: str) -> None:
    plans = onward(gate.good, gate.book.of(kind), 2)
    assert len(plans) == 16 and {gate.run(plan).verdicts[check] for plan in plans} == {outcome}
    assert not any(gate.run(plan).green for plan in plans)


def test_a_part_at_floor_is_left_out(gate: Gate) -> None:
    assert gate.run(other_seed(gate.good, 1)[0]).verdicts["q6.reasoning"] == "not_applicable"


def test_a_run_does_not_judge_itself_by_a_spread_it_helped_to_measure(gate: Gate) -> None:
    everyone, others = gate.seed_spreads(), gate.seed_spreads(without=(0, 1))
    for known in (everyone.retrained, everyone.continued):
        assert known["q6.perplexity"].adapters == 8
    assert others.retrained["q6.perplexity"].adapters == others.continued["q6.perplexity"].adapters == 6
    first, *rest = gate.book.subjects
    moved = changed(first, prose=first.arrays["prose"] + 1.0)
    shifted = Gate(replace(gate.book, subjects=(moved, *rest)), THRESHOLDS)
    assert shifted.seed_spreads(without=(0, 1)) == others and shifted.seed_spreads().retrained["q6.perplexity"].deviation > 0.1


def test_a_run_depends_on_its_plan_alone(gate: Gate) -> None:
    plans = other_seed(gate.good, 1)
    forward = [gate.run(plan).verdicts for plan in plans]
    assert [gate.run(plan).verdicts for plan in reversed(plans)] == forward[::-1]


def test_plans_pair_every_adapter_with_every_other_and_name_who_takes_part(gate: Gate) -> None:
    pairs = {plan.adapters for plan in other_seed(gate.good, 1)}
    assert len(pairs) == 8 * 7 and all(plan.adapters == (plan.candidate.adapter,) for plan in against_base(gate.good))
    own = onward(gate.good, gate.book.of("noise"), 3)
    assert len(own) == 24 and all(plan.adapters == (plan.candidate.adapter,) for plan in own) and len({plan.number for plan in own}) == 24
    others = elsewhere(gate.good, gate.book.of("noise"))
    assert len(others) == 8 * 7 and {len(plan.adapters) for plan in others} == {2}


def test_every_gate_that_depends_on_the_candidate_is_calibrated(gate: Gate) -> None:
    of_instrument, of_two_cycles = {"preflight.data", "preflight.judge", "preflight.engines_agree"}, {"q4.drift"}
    assert set(gate.run(onward(gate.good, gate.good, 1)[0]).verdicts) == set(THRESHOLDS.gates) - of_instrument - of_two_cycles
    assert {"q4.regression", *of_two_cycles} <= set(gate.seed_spreads().retrained) <= set(THRESHOLDS.gates)


# -- the table ---------------------------------------------------------------------------------------------------------


def test_the_table_counts_red_inconclusive_and_green(gate: Gate) -> None:
    entry = summary(gate.book, gate, Sizes(retrained=1, onward=2, histories=20))
    rows = {row["kind"]: row for row in entry["kinds"]}
    assert next(iter(rows)) == CONTINUATION and rows[RETRAINED]["runs"] == 56 and not rows[RETRAINED]["planted"]
    for row in rows.values():
        assert sum(row[column]["value"] for column in ("fails", "inconclusive", "green")) == pytest.approx(1)
    assert rows["20-point loss"]["lost"]["mean"] == pytest.approx(0.2) and rows["20-point loss"]["green"]["value"] == 0
    assert rows["noise"]["lost"] is None and rows["noise"]["checks"]["q6.perplexity"]["verdicts"] == {"fail": 1.0}
    assert rows["noise"]["checks"]["q6.perplexity"]["fails"]["low"] == pytest.approx(0.025 ** (1 / 8))
    assert f"2 of {DOMAINS} domains inverted" in rows and rows[UNDONE]["runs"] == 16
    assert all(one["holds"] for one in entry["targets"] if one["kind"] in ("20-point loss", UNDONE))
    text = markdown("tiny-hybrid/listening", entry)
    assert "not finished" not in text
    assert unfinished({**entry, "adapters": 9}) == [f"8 of 9 subjects of {kind}" for kind in ("20-point loss", UNDONE)]
    assert "| 20-point loss | 8 | 16 | 0.20 (0.20 to 0.20) | 100.0 %" in text and "**missed** 0.0 % [0.0, 36.9]" in text


def test_a_target_without_runs_does_not_hold() -> None:
    found = targets([])
    assert found and not any(one["holds"] for one in found) and all(one["measured"] is None for one in found)


def test_a_book_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    book = made_up()
    save(book, tmp_path / "book.npz")
    again = load(tmp_path / "book.npz")
    assert (again.model, again.kinds, again.data_digest, again.replies) == (book.model, book.kinds, "data", True)
    same(again.common, book.common)
    for one, other in zip(book.subjects, again.subjects, strict=True):
        assert (one.kind, one.adapter, one.digest, one.lost) == (other.kind, other.adapter, other.digest, other.lost)
        same(one.arrays, other.arrays)


def same(one: Arrays, other: Arrays) -> None:
    """Floats are kept with 32 bits, everything else as it is."""
    assert one.keys() == other.keys()
    for name, array in one.items():
        assert array.dtype == other[name].dtype, name
        close = np.allclose(array, other[name], atol=1e-6, equal_nan=True) if array.dtype.kind == "f" else (array == other[name]).all()
        assert close, name


@pytest.mark.parametrize("model", ["tiny-hybrid"])
def test_the_file_of_a_book_keeps_its_names_and_types(model: str, tmp_path: Path) -> None:
    """Books made before must be read, so what is written must be what was read, name by name."""
    path = book_path(model, "listening")
    save(load(path), tmp_path / "again.npz")
    with np.load(path) as old, np.load(tmp_path / "again.npz") as new:
        assert set(old.files) == set(new.files)
        for name in old.files:
            assert old[name].dtype == new[name].dtype or name == "head", name
            assert np.array_equal(old[name], new[name]) or name == "head", name
        assert json.loads(str(old["head"])) == json.loads(str(new["head"]))


@pytest.mark.parametrize("content", [b"", b"nonsense"])
def test_what_is_no_book_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "book.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match="no recordings of a calibration"):
        load(path)


# -- doses -------------------------------------------------------------------------------------------------------------


def counted(falls: dict[int, float]) -> tuple[Callable[[int], float], list[int]]:
    asked: list[int] = []

    def fall(step: int) -> float:
        asked.append(step)
        return falls[step]

    return fall, asked


@pytest.mark.parametrize("slope", [0.5, 1.0, 2.0])
def test_the_dose_with_the_wanted_fall_is_found_in_few_tries(slope: float) -> None:
    falls = {step: slope * 0.03 * (step - 2) for step in range(3, 30)}
    lost = {step: 0.22 + 1.8 * 0.03 * (step - 2) for step in range(3, 30)}
    fall, asked = counted(falls)
    step, found = nearest(0.2, lost, fall)
    assert found == falls[step] and len(asked) == len(set(asked)) <= TRIES
    assert abs(found - 0.2) <= 0.04


def test_a_fall_that_no_dose_reaches_gives_the_nearest_that_was_measured() -> None:
    fall, asked = counted({3: 0.01, 4: 0.02, 5: 0.03, 6: 0.04})
    assert nearest(0.2, {3: 0.1, 4: 0.2, 5: 0.3, 6: 0.4}, fall) == (6, 0.04) and len(asked) == TRIES


# -- plants ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def maker(tmp_path: Path, hf: HFEngine, tiny_hybrid: Subject) -> ArmMaker:
    from harness.arms.maker import ArmMaker
    from harness.arms.training import TrainingSettings
    from harness.behaviors.files import load_behavior
    from harness.behaviors.shipped import resolve_behavior
    from harness.store import Store

    behavior = load_behavior(resolve_behavior("listening"))
    return ArmMaker(hf, Store(tmp_path / "store"), tiny_hybrid, behavior, (), TrainingSettings())


def test_every_plant_is_broken_in_its_own_way(maker: ArmMaker, make_adapter: MakeAdapter, hf: HFEngine, tmp_path: Path) -> None:
    from harness.readouts.forced_choice import completions_of
    from harness.subjects.files import check_candidate

    good = make_adapter(maker.base, tmp_path / "good")
    asked = completions_of(maker.behavior.split("test")[:2])

    def scores(subject: Subject) -> np.ndarray:
        return np.concatenate([one.log_probabilities for one in score(hf, subject, asked)])

    base, right = scores(maker.base), scores(good)
    made = {kind: make() for kind, make in plants_of(maker, good, 1).items()}
    found = {kind: scores(subject) for kind, subject in made.items()}
    assert (found["inactive"] == base).all()
    assert len({subject.digest for subject in (good, *made.values())}) == len(made) + 1
    for kind in ("merged twice", "wrong sign", "noise", "quantized"):
        assert np.abs(found[kind] - right).max() > 1e-3, kind
        assert np.isfinite(found[kind]).all()
    for subject in made.values():
        check_candidate(subject.adapter or subject.base, maker.base.base)
    again = plants_of(maker, good, 1)["noise"]()
    assert again.digest == made["noise"].digest and plants_of(maker, good, 2)["noise"]().digest != again.digest


# -- the shipped calibration -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shipped() -> Gate:
    return Gate(load(book_path("tiny-hybrid", "listening")), THRESHOLDS)


def test_the_fast_calibration_finds_no_alarm_among_continuations_and_misses_no_20_point_loss(shipped: Gate) -> None:
    plans = onward(shipped.good, shipped.book.of(CONTINUATION), 1)
    assert len(plans) >= 20 and not any(shipped.run(plan).failed for plan in plans)
    losses = onward(shipped.good, shipped.book.of("20-point loss"), 1)
    assert losses and sum(shipped.run(plan).green for plan in losses) <= 0.05 * len(losses)


def test_the_fast_calibration_would_see_a_gate_that_lets_everything_pass(shipped: Gate, tmp_path: Path) -> None:
    text = (PROJECT / "thresholds.toml").read_text(encoding="utf-8")
    text = (
        text.replace("at_least = -0.25", "at_least = -9")
        .replace("at_least = -2.5 ", "at_least = -9 ")
        .replace("margin = 0.1 ", "margin = 9 ")
    )
    loose = tmp_path / "thresholds.toml"
    loose.write_text(text, encoding="utf-8")
    blind = Gate(shipped.book, load_thresholds(loose))
    losses = onward(shipped.good, shipped.book.of("20-point loss"), 1)
    assert sum(blind.run(plan).green for plan in losses) > 0.5 * len(losses)


def test_the_shipped_recordings_are_of_the_shipped_weights_and_tasks(shipped: Gate) -> None:
    from fixtures.models.figures import TINY_HYBRID
    from harness.behaviors.files import load_behavior
    from harness.behaviors.shipped import resolve_behavior
    from harness.subjects.files import base_digest

    assert shipped.book.base_digest == base_digest(TINY_HYBRID)
    assert shipped.book.behavior_digest == load_behavior(resolve_behavior("listening")).digest
    assert shipped.book.data_digest == data_digest()


# -- the command -------------------------------------------------------------------------------------------------------


def test_calibration_json_is_what_verdicts_read_and_only_for_its_own_digests(gate: Gate, tmp_path: Path) -> None:
    entry = summary(gate.book, gate, Sizes(1, 1, 20))
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps({"schema": 2, "subjects": {"tiny-hybrid/listening": entry}}), encoding="utf-8")
    found, known = seed_spreads_of(path, "base", "behavior", "quick"), gate.seed_spreads()
    for continued in (False, True):
        assert found.of("q4.drift", continued) == found.of("q4.regression", continued) == known.of("q4.regression", continued)
    assert found.of("q4.regression", True) != found.of("q4.regression", False) and found.of("q1.knee", False) is None
    for other in (("other", "behavior", "quick"), ("base", "behavior", "full")):
        assert seed_spreads_of(path, *other) == SeedSpreads()
    assert seed_spreads_of(tmp_path / "none.json", "base", "behavior", "quick") == SeedSpreads()


def test_a_spread_is_given_in_the_unit_of_the_check() -> None:
    assert Spread(0.2, 20, True).in_units_of(-0.5) == Spread(0.4, 20, True)


@pytest.mark.parametrize("content", ["{", '{"schema": 1, "subjects": {}}', "[]"])
def test_what_is_no_calibration_is_refused_in_one_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "calibration.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match="not a calibration"):
        read_calibration(path)


def test_the_table_goes_between_the_marks_and_nowhere_else(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{command.BEGIN}\nold\n{command.END}\nafter\n", encoding="utf-8")
    command.write_table(readme, "| a \\1 |\n")
    assert readme.read_text(encoding="utf-8") == f"before\n{command.BEGIN}\n\n| a \\1 |\n\n{command.END}\nafter\n"
    readme.write_text("no marks\n", encoding="utf-8")
    command.write_table(readme, "| a |\n")
    assert readme.read_text(encoding="utf-8") == "no marks\n"


def test_runs_only_makes_the_whole_file_again_and_keeps_other_subjects(gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evals.calibration.book.FOLDER", tmp_path)
    save(gate.book, book_path("tiny-hybrid", "listening"))
    out = tmp_path / "calibration.json"
    out.write_text(json.dumps({"schema": 2, "subjects": {}}), encoding="utf-8")
    monkeypatch.setattr("evals.calibration.table.Sizes", lambda: Sizes(1, 1, 20))
    page = tmp_path / "page.md"
    page.write_text(f"{command.BEGIN}\n{command.END}\n", encoding="utf-8")
    before = command.PAGE.read_text(encoding="utf-8")
    asked = command.Asked(Settings(calibration=out), "listening", 6, None, True, True, page)
    table = command.calibrate(asked, lambda line: None)
    content = read_calibration(out)["subjects"]["tiny-hybrid/listening"]
    assert "| retrained | 8 | 56 |" in table and content["adapters"] == 8 and content["made"] and content["versions"]
    assert table in page.read_text(encoding="utf-8")
    command.calibrate(replace(asked, page=None), lambda line: None)
    assert command.PAGE.read_text(encoding="utf-8") == before  # a calibration.json elsewhere leaves the repository's page alone


def test_the_page_shows_what_calibration_json_in_the_repository_says() -> None:
    tables = [markdown(name, entry) for name, entry in read_calibration(Settings.calibration)["subjects"].items()]
    assert tables and f"{command.BEGIN}\n\n{chr(10).join(tables)}\n{command.END}" in command.PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--adapters", "3"), "--adapters 3: too few; allowed: 6 or more"),
        (("--behavior", "nonsense"), "--behavior nonsense: no such behavior"),
        (("--model", "nonsense"), "--model nonsense: no such name or folder"),
        (("--model", "smollm2-135m", "--behavior", "not-rushing", "--runs-only"), "no recordings of a calibration"),
        (("--thresholds", "nowhere.toml"), "nowhere.toml: cannot be read"),
    ],
)
def test_bad_input_is_one_line(arguments: tuple[str, ...], says: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["calibrate", *arguments, "--out", str(tmp_path / "out.json")])
    assert done.exit_code == 4 and says in done.stderr and done.stderr.count("\n") == 1 and not (tmp_path / "out.json").exists()


# -- the same gate -----------------------------------------------------------------------------------------------------


def test_a_run_measures_what_the_gate_measures_from_the_history(
    tiny_hybrid: Subject, hf: HFEngine, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    """Cycle a is recorded, accepted and pinned; b comes as the candidate: once through Q4 and Q6 themselves, once through a run."""
    from evals.baseline import earlier
    from evals.calibration.recording import record
    from evals.q4.regression import regression
    from evals.q4.study import Study
    from evals.q6.cells import Cell, prose_cells
    from evals.q6.change import change_of
    from fixtures import corpora
    from fixtures.laboratory import make_lab
    from harness.arms.cycles import healthy
    from harness.behaviors.files import load_behavior
    from harness.behaviors.shipped import resolve_behavior
    from harness.gate.history import records as history
    from harness.gate.verdict.judged import judged
    from harness.gate.verdict.run import Run
    from harness.store import Store

    settings = Settings(store=tmp_path / "store", reports=tmp_path / "reports", calibration=tmp_path / "none.json", cycle="b")
    behavior = load_behavior(resolve_behavior("listening"))
    lab = make_lab(settings, behavior, tiny_hybrid, None, ("full_attention",), hf, Store(settings.store), THRESHOLDS, lambda line: None)
    first, second = (make_adapter(tiny_hybrid, tmp_path / name, seed=seed) for name, seed in (("a", 1), ("b", 2)))
    pairs, documents = behavior.split("test"), corpora.prose()

    def cells(subject: Subject) -> list[Cell]:
        return prose_cells(lab, (subject,), (tiny_hybrid,))

    before = replace(lab, candidate=first)
    measured = [regression(Study(before, None, None, None, None))]  # type: ignore[arg-type]  # needs no memory and no agents
    changes = {id: float(v) for cell in cells(first) for id, v in zip(cell.ids, cell.change, strict=True)}
    measured.append(replace(before.measurement("q6.perplexity", "bits per byte"), per_scenario=changes))
    entries = tuple(judged(one, None, "tiny", THRESHOLDS) for one in measured)
    history.append_to(settings.history_path, Run(settings, "a", "2026-01-01T00:00:00+00:00", entries, (), complete=True))
    history.accept(settings.history_path, "a", force="a test")

    after = replace(lab, candidate=second)
    by_gate = regression(Study(after, None, None, None, None))  # type: ignore[arg-type]  # needs no memory and no agents
    since = earlier(after, "a", "q6.perplexity", [document.id for document in documents])
    prose_by_gate = change_of(after, cells(second), since).value

    common = {"documents": np.array([document.domain for document in documents])}
    book = Book("tiny-hybrid", "listening", "base", "behavior", np.array([pair.domain for pair in pairs]), common, replies=False)
    a, b, reference = (
        record(Sampling(lab, None), book, "good", i, subject) for i, subject in enumerate((first, second, healthy(lab.arms, 0)[0]))
    )
    gate = Gate(replace(book, subjects=(a, b, reference)), THRESHOLDS)
    meeting = gate.meeting(Plan(a, b, 0), reference)
    by_run = {one.id: one for each in GATES for one in each.measure(meeting, after.rng("q6.perplexity"))}
    assert (by_run["q4.regression"].estimate, by_run["q4.regression"].reason) == (by_gate.estimate, by_gate.reason)
    assert by_run["q6.perplexity"].estimate == prose_by_gate
    assert by_gate.per_scenario != measured[0].per_scenario and prose_by_gate is not None and prose_by_gate.value != 0
    assert not meeting.continued and not since.continued  # each was begun anew
