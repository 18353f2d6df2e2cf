"""The sequential rule: draw more until decided, keep what decided, spend each look's share and no more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest

from evals.looks import until_decided
from harness.analysis.intervals import mean_interval
from harness.analysis.spending import shares
from harness.behaviors.files import load_behavior
from harness.behaviors.shipped import resolve_behavior
from harness.data.measurement import Measurement
from harness.data.settings import PROJECT, Settings
from harness.data.subject import Subject
from harness.experiment.lab import Lab
from harness.experiment.profile import domains_of
from harness.gate.verdict.thresholds import load_thresholds
from harness.readouts.recordings import Recordings
from harness.store import Store

SIGN, COST = "q5.sign", "q5.coherence"
"""At most 0, and at most .05."""
SIZES = (64, 128, 224)


def lab_of(folder: Path, profile: Literal["quick", "full"] = "full", say: Callable[[str], None] = lambda _: None) -> Lab:
    engine: Any = SimpleNamespace(name="hf")
    arms: Any = None
    return Lab(
        settings=Settings(profile=profile),
        behavior=load_behavior(resolve_behavior("listening")),
        base=Subject("base", Path(), "base"),
        candidate=None,
        layer_kinds=(),
        recordings=Recordings(engine, Store(folder)),
        arms=arms,
        thresholds=load_thresholds(PROJECT / "thresholds.toml"),
        exhibits=folder,
        progress=say,
    )


class Experiment:
    """One check around `mean` per scenario, and one that does not grow; remembers what it was asked for."""

    def __init__(self, mean: float, scatter: float = 1.0, cost: float = 0.0) -> None:
        rng = np.random.default_rng(5)
        noise = rng.standard_normal(SIZES[-1])
        self.values, self.cost, self.asked = mean + scatter * (noise - noise.mean()), cost + rng.normal(0, 0.1, 24), list[int]()

    def measure(self, lab: Lab) -> Mapping[str, Measurement]:
        pairs = lab.pairs("test")
        self.asked.append(len(pairs))
        values, rng = self.values[: len(pairs)], lab.rng("made up")
        sign = mean_interval(values, domains_of(pairs), lab.alpha(SIGN), rng, level=lab.level)
        cost = mean_interval(self.cost, None, lab.at(None).alpha(COST), rng)
        return {SIGN: lab.measurement(SIGN, "nats", sign, pairs=pairs, values=values), COST: lab.measurement(COST, "nats", cost)}


def test_quick_measures_once_and_says_nothing_of_looks(tmp_path: Path) -> None:
    experiment = Experiment(-0.5)
    found = until_decided(lab_of(tmp_path, "quick"), [SIGN], experiment.measure)
    assert experiment.asked == [64] and found[SIGN].series == ()


def test_what_is_clear_at_once_is_drawn_once(tmp_path: Path) -> None:
    experiment = Experiment(-5)
    found = until_decided(lab_of(tmp_path), [SIGN], experiment.measure)
    assert experiment.asked == [64] and len(found[SIGN].per_scenario) == 64
    (row,) = found[SIGN].series
    assert (row["cell"], row["scenarios"], row["verdict"]) == ("look 1 of 3", 64, "pass")
    assert row["level"] == pytest.approx(shares(0.05, SIZES)[0])


def test_what_stays_open_is_drawn_to_the_end_and_every_look_is_shown(tmp_path: Path) -> None:
    experiment, said = Experiment(0.0), list[str]()
    found = until_decided(lab_of(tmp_path, say=said.append), [SIGN], experiment.measure)
    assert experiment.asked == list(SIZES)
    assert [row["verdict"] for row in found[SIGN].series] == ["inconclusive"] * 3
    assert said == ["q5.sign: not decided by 64 scenarios; now 128", "q5.sign: not decided by 128 scenarios; now 224"]


def test_an_effect_that_takes_more_scenarios_is_decided_when_there_are_enough(tmp_path: Path) -> None:
    experiment = Experiment(-0.3)
    found = until_decided(lab_of(tmp_path), [SIGN], experiment.measure)
    assert experiment.asked == [64, 128] or experiment.asked == list(SIZES)
    assert found[SIGN].series[-1]["verdict"] == "pass"
    first, last = found[SIGN].series[0], found[SIGN].series[-1]
    assert last["high"] - last["low"] < first["high"] - first["low"]


def test_a_check_keeps_what_decided_it_although_another_goes_on(tmp_path: Path) -> None:
    clear, open_ = Experiment(-5), Experiment(0.0)

    def both(lab: Lab) -> Mapping[str, Measurement]:
        effect = open_.measure(lab)[SIGN]
        other = lab.measurement(
            "q1.effect_at_max", "nats", mean_interval(-effect_values(effect), None, lab.alpha("q1.effect_at_max"), lab.rng())
        )
        return {**clear.measure(lab), "q1.effect_at_max": other}

    found = until_decided(lab_of(tmp_path), [SIGN, "q1.effect_at_max"], both)
    alone = until_decided(lab_of(tmp_path), [SIGN], Experiment(-5).measure)
    assert open_.asked == list(SIZES) and found[SIGN] == alone[SIGN]


def effect_values(measurement: Measurement) -> np.ndarray:
    return np.array(list(measurement.per_scenario.values()))


def test_what_does_not_grow_is_measured_at_its_full_level_and_taken_from_the_first_look(tmp_path: Path) -> None:
    experiment = Experiment(0.0, cost=0.05)  # open, and more scenarios do not change that
    found = until_decided(lab_of(tmp_path), [SIGN], experiment.measure)
    quick = until_decided(lab_of(tmp_path, "quick"), [SIGN], Experiment(0.0, cost=0.05).measure)
    assert found[COST].series == ()
    ours, theirs = found[COST].estimate, quick[COST].estimate
    assert ours is not None and theirs is not None
    assert ours.alpha == theirs.alpha == 0.05 and ours.high - ours.low == pytest.approx(theirs.high - theirs.low, rel=0.1)


def test_each_look_spends_its_share_of_a_gates_alpha_too(tmp_path: Path) -> None:
    lab = lab_of(tmp_path)
    spent = [lab.at(look).alpha("q6.perplexity") for look in lab.looks()]
    assert spent == pytest.approx(shares(0.001, SIZES)) and sum(spent) == pytest.approx(0.001)
    assert lab.alpha("q6.perplexity") == 0.001 and lab.level == 0.05


def test_the_pairs_of_a_look_are_the_first_of_the_next(tmp_path: Path) -> None:
    lab = lab_of(tmp_path)
    drawn = [lab.at(look).pairs("test") for look in lab.looks()]
    assert [len(pairs) for pairs in drawn] == list(SIZES)
    assert drawn[1][:64] == drawn[0] and drawn[2][:128] == drawn[1] and drawn[2] == lab.pairs("test")
    assert len(set(domains_of(drawn[0]))) == len(set(domains_of(drawn[2])))
