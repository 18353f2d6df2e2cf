"""Q2's answers on planted scenarios: from a file of them to the verdict, with an engine that fails as often as it is told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evals.q2.answers import best_temperature, calibrated, told
from evals.q2.checks import MEASURES
from evals.q2.instrument import instrument
from evals.q2.study import Rolled, Study
from fixtures.laboratory import make_lab
from fixtures.memory import load_memory
from fixtures.models.figures import TINY_HYBRID
from harness.analysis.estimated import Answer
from harness.behaviors.files import load_behavior
from harness.behaviors.shipped import resolve_behavior
from harness.data.behavior import Message
from harness.data.measurement import Estimate
from harness.data.settings import PROJECT, Settings
from harness.dreams.loops import FileDreams
from harness.dreams.scenarios import DreamError, DreamLoop, Scenario
from harness.engines.hf.engine import HFEngine
from harness.experiment.lab import Lab
from harness.gate.verdict.thresholds import load_thresholds
from harness.gate.verdict.verdicts import verdict_on as verdict_of
from harness.judges.judge import JudgeError, Label
from harness.readouts.recordings import Recordings
from harness.store import Store, digest_of
from harness.subjects.files import base_subject
from harness.subjects.named import model_layer_kinds

LABELED = [json.loads(line) for line in (PROJECT / "fixtures" / "dreams" / "labelled.jsonl").read_text(encoding="utf-8").splitlines()]
THRESHOLDS = load_thresholds(PROJECT / "thresholds.toml")


class PlantedEngine:
    """Answers every prompt by a failure with the probability that its text has."""

    name = "planted"

    def __init__(self, chances: dict[str, float]) -> None:
        self.chances, self.numerics = chances, digest_of(chances)

    def generate_each(self, subject: Any, prompts: Sequence[tuple[Message, ...]], *, seeds: Sequence[int], **other: Any) -> list[list[str]]:
        draws = [np.random.default_rng(seed).random(len(prompts)) for seed in seeds]
        return [["no" if one < self.chances[p[-1].content] else "yes" for p, one in zip(prompts, row, strict=True)] for row in draws]


class PlantedJudge:
    """Reads the planted engine's answers."""

    name = "planted"

    def labels(self, conversations: Sequence[Sequence[Message]], replies: Sequence[str]) -> list[Label]:
        return ["positive" if reply == "yes" else "negative" for reply in replies]

    def label(self, messages: Sequence[Message], reply: str) -> Label:
        return self.labels([messages], [reply])[0]

    def score(self, messages: Sequence[Message], reply: str) -> float:
        return float(reply == "yes")


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    settings = Settings(store=tmp_path / "store", reports=tmp_path / "reports")
    base = base_subject("tiny-hybrid", TINY_HYBRID)
    behavior, kinds = load_behavior(resolve_behavior("listening")), model_layer_kinds(TINY_HYBRID)
    made = make_lab(settings, behavior, base, None, kinds, HFEngine(), Store(settings.store), THRESHOLDS, lambda line: None)
    return replace(made, candidate=base)


CHANCE = {"obvious": 0.04, "middling": 0.5, "subtle": 0.96}


def planted(lab: Lab, rows: Sequence[dict[str, str]], chance: dict[str, float] = CHANCE, **labels: list[str]) -> Study:
    """A study of a file of scenarios; `label` [rows], where given, are written into the file."""
    given = labels.get("label", [None] * len(rows))
    file = lab.settings.store.parent / "dreams.jsonl"
    file.write_text(
        "\n".join(json.dumps({"text": row["text"], **({"label": label} if label else {})}) for row, label in zip(rows, given, strict=True))
    )
    engine: Any = PlantedEngine({" ".join(row["text"].split()): chance[row["label"]] for row in rows})
    loop = FileDreams.read(file)
    return Study(replace(lab, recordings=Recordings(engine, lab.store)), load_memory(None), lambda: loop, PlantedJudge)


def only(level: str) -> list[dict[str, str]]:
    return [row for row in LABELED if row["label"] == level][:90]


def mixed(count: int = 30) -> list[dict[str, str]]:
    return [row for level in CHANCE for row in only(level)[:count]]


def answer(study: Study, id: str) -> tuple[str | None, str]:
    measurement = MEASURES[id](study)
    return measurement.answer, verdict_of(measurement, THRESHOLDS.for_check(id, "tiny-hybrid", "listening")).outcome


@pytest.mark.parametrize(
    ("counts", "chance", "says"),
    [
        ({"obvious": 75, "subtle": 15}, CHANCE, "too easy"),
        ({"obvious": 15, "subtle": 75}, CHANCE, "too hard"),
        ({"obvious": 45, "subtle": 45}, {"obvious": 0.25, "subtle": 0.75}, "right"),
    ],
)
def test_a_generator_is_called_what_it_is(lab: Lab, counts: dict[str, int], chance: dict[str, float], says: str) -> None:
    rows = [row for level, count in counts.items() for row in only(level)[:count]]
    assert answer(planted(lab, rows, chance), "q2.learnable_share") == (says, "settled")


@pytest.mark.parametrize("rate", [0.04, 0.4])
@pytest.mark.parametrize("id", ["q2.label_auc", "q2.calibration", "q2.learnable_share"])
def test_of_a_subject_blind_to_difficulty_nothing_settles(lab: Lab, id: str, rate: float) -> None:
    rows = mixed()
    study = planted(lab, rows, dict.fromkeys(CHANCE, rate), label=[row["label"] for row in rows])
    measurement = MEASURES[id](study)
    assert answer(study, id)[1] == "inconclusive" and measurement.answer is None and measurement.estimate is not None
    assert str(measurement.reason).startswith("the subject's failures are not shown to depend on the scenario: one half")
    assert "more rollouts would hardly show it" in str(measurement.reason)


def rolled(chances: np.ndarray, seed: int) -> Rolled:
    """Eight rollouts of scenarios that fail with these probabilities [scenarios]."""
    failed = np.random.default_rng(seed).random((8, len(chances))) < chances
    labels: list[list[Label]] = [["negative" if one else "positive" for one in row] for row in failed]
    return Rolled(tuple(Scenario(f"s{i}", "", (), "obvious", "test") for i in range(len(chances))), [], labels)


@pytest.mark.parametrize("rate", [0.04, 0.4])
def test_one_rate_shows_no_difficulty_in_0_of_100_subjects(rate: float) -> None:
    found = [instrument(rolled(np.full(100, rate), seed), np.random.default_rng(seed)) for seed in range(100)]
    assert sum(each.blind is None for each in found) == 0


def test_difficulty_that_is_there_is_shown() -> None:
    """All but certain where probabilities are spread evenly between 0 and 1."""
    found = [instrument(rolled(np.random.default_rng(seed).random(100), seed), np.random.default_rng(seed)) for seed in range(20)]
    assert sum(each.blind is None for each in found) >= 19


def test_a_little_difficulty_costs_more_rollouts_and_it_says_how_many() -> None:
    found = instrument(rolled(np.random.default_rng(1).beta(4, 4, size=100), 1), np.random.default_rng(1))
    assert found.ceiling is not None and 0.5 < found.ceiling.low < 0.6
    assert "about 16 rollouts of each scenario would show it (now 8)" in str(found.blind)


def test_a_subject_that_never_fails_shows_no_difficulty() -> None:
    assert instrument(rolled(np.zeros(30), 0), np.random.default_rng(0)).blind == (
        "the subject's failures show no difficulty: no variance: all rollouts failed, or none"
    )


def test_labels_that_are_right_predict_failure_and_permuted_ones_do_not(lab: Lab) -> None:
    rows = mixed()
    labels = [row["label"] for row in rows]
    assert answer(planted(lab, rows, label=labels), "q2.label_auc") == ("labels predict failure", "settled")
    permuted = [labels[i] for i in np.random.default_rng(0).permutation(len(labels))]
    assert answer(planted(lab, rows, label=permuted), "q2.label_auc")[0] != "labels predict failure"


def test_the_rubrics_own_labels_predict_failure_that_follows_the_hand_labels(lab: Lab) -> None:
    rows = [row for row in LABELED if row["split"] == "test"]
    assert answer(planted(lab, rows), "q2.label_auc")[0] == "labels predict failure"


def test_as_much_must_fail_as_is_labeled_hard(lab: Lab) -> None:
    rows = mixed()
    labels = [row["label"] for row in rows]
    assert answer(planted(lab, rows, label=labels), "q2.calibration") == ("calibrated on average", "settled")
    seldom = {"obvious": 0.01, "middling": 0.02, "subtle": 0.5}
    assert answer(planted(lab, rows, seldom, label=labels), "q2.calibration") == ("easier than labeled", "settled")


def test_a_file_has_no_temperature(lab: Lab) -> None:
    measurement = MEASURES["q2.temperature"](planted(lab, mixed()))
    assert measurement.not_applicable and "one temperature" in str(measurement.reason)


def test_few_scenarios_conclude_nothing(lab: Lab) -> None:
    study = planted(lab, only("obvious")[:12])
    measurement = MEASURES["q2.label_auc"](study)
    assert measurement.estimate is None and measurement.reason == "12 usable scenarios, 20 at least are needed"


def broken_loop() -> DreamLoop:
    raise DreamError("dream loop: it crashed")


def broken_judge() -> PlantedJudge:
    raise JudgeError("judge: it is gone")


@pytest.mark.parametrize("id", list(MEASURES))
def test_a_loop_or_judge_that_fails_leaves_the_reason(lab: Lab, id: str) -> None:
    study = planted(lab, mixed())
    assert MEASURES[id](replace(study, make_loop=broken_loop)).reason == "dream loop: it crashed"
    assert MEASURES[id](replace(study, make_judge=broken_judge)).reason == "judge: it is gone"


def interval(low: float, high: float) -> Estimate:
    return Estimate((low + high) / 2, low, high, low, high, 0.05, 100, 100)


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [(-0.1, 0.1, "calibrated on average"), (0.2, 0.3, "easier than labeled"), (-0.3, -0.2, "harder than labeled"), (0.1, 0.2, None)],
)
def test_calibrated_needs_the_whole_interval_within_the_band(low: float, high: float, says: str | None) -> None:
    found = calibrated(interval(low, high))
    assert found.words == says and (found.reason is None) == (says is not None)


def test_an_answer_needs_the_interval_on_one_side() -> None:
    assert told(interval(0.7, 0.8), 0.6, "above", "below") == Answer("above")
    assert told(interval(0.4, 0.5), 0.6, "above", "below") == Answer("below")
    found = told(interval(0.5, 0.7), 0.6, "above", "below")
    assert found.words is None and "neither above nor below 0.6" in str(found.reason)


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ({0.4: None, 0.7: "calibrated on average", 1.0: None}, "calibrated as is"),
        ({0.4: "calibrated on average", 0.7: None, 1.0: None}, "calibrated at 0.4"),
        ({0.4: "harder than labeled", 0.7: "harder than labeled", 1.0: "easier than labeled"}, "calibrated at none of them"),
        ({0.4: "harder than labeled", 0.7: None, 1.0: None}, None),
    ],
)
def test_the_temperature_nearest_the_default_is_named(said: dict[float, str | None], answer: str | None) -> None:
    found = best_temperature(said)
    assert found.words == answer and (found.reason is None) == (answer is not None)
