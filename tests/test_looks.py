"""The sequential rule: draw more until decided, keep what decided, spend each look's share and no more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import evals.q3.design as q3
import evals.q7.design as q7
from evals.looks import until_decided
from evals.question import Question
from harness.analysis.intervals import mean_interval
from harness.analysis.spending import shares
from harness.data.measurement import Measurement
from harness.experiment.lab import Lab
from harness.experiment.profile import RECORDED, across_domains, domains_of, shared_sizes
from tests.bench import SIZES, bare_lab

SIGN, COST, EFFECT = "q5.sign", "q5.coherence", "q1.effect_at_max"
"""At most 0, at most .05, at least .1."""


class Experiment:
    """One check around `mean` per scenario, and one that does not grow; remembers what it was asked for."""

    def __init__(self, mean: float, scatter: float = 1.0, cost: float = 0.0) -> None:
        rng = np.random.default_rng(5)
        noise = rng.standard_normal(SIZES[-1])
        self.values, self.cost_by_text, self.asked = mean + scatter * (noise - noise.mean()), cost + rng.normal(0, 0.1, 24), list[int]()

    def sign(self, lab: Lab) -> Measurement:
        pairs = lab.pairs("test")
        self.asked.append(len(pairs))
        values = self.values[: len(pairs)]
        found = mean_interval(values, domains_of(pairs), lab.alpha(SIGN), lab.rng("made up"), level=lab.level)
        return lab.measurement(SIGN, "nats", found, pairs=pairs, values=values)

    def effect(self, lab: Lab) -> Measurement:
        """The same values with the opposite sign, as another check."""
        pairs = lab.pairs("test")
        self.asked.append(len(pairs))
        found = mean_interval(-self.values[: len(pairs)], None, lab.alpha(EFFECT), lab.rng(), level=lab.level)
        return lab.measurement(EFFECT, "nats", found)

    def cost(self, lab: Lab) -> Measurement:
        return lab.measurement(COST, "nats", mean_interval(self.cost_by_text, None, lab.at(None).alpha(COST), lab.rng("made up")))

    def question(self, lab: Lab) -> Question[Lab]:
        return Question(lab, lambda lab: lab, {SIGN: self.sign, COST: self.cost}, grows=[SIGN])


def test_quick_measures_once_and_says_nothing_of_looks(tmp_path: Path) -> None:
    experiment = Experiment(-0.5)
    found = experiment.question(bare_lab(tmp_path, "quick"))(SIGN)
    assert experiment.asked == [64] and found.series == ()


def test_what_is_clear_at_once_is_drawn_once(tmp_path: Path) -> None:
    experiment = Experiment(-5)
    found = until_decided(bare_lab(tmp_path), experiment.sign)
    assert experiment.asked == [64] and len(found.per_scenario) == 64
    (row,) = found.series
    assert (row["cell"], row["scenarios"], row["verdict"]) == ("look 1 of 3", 64, "pass")
    assert row["level"] == pytest.approx(shares(0.05, SIZES)[0])


def test_what_stays_open_is_drawn_to_the_end_and_every_look_is_shown(tmp_path: Path) -> None:
    experiment, said = Experiment(0.0), list[str]()
    found = until_decided(bare_lab(tmp_path, say=said.append), experiment.sign)
    assert experiment.asked == list(SIZES)
    assert [row["verdict"] for row in found.series] == ["inconclusive"] * 3
    assert said == ["q5.sign: not decided by 64 scenarios; now 128", "q5.sign: not decided by 128 scenarios; now 224"]


def test_an_effect_that_takes_more_scenarios_is_decided_when_there_are_enough(tmp_path: Path) -> None:
    experiment = Experiment(-0.3)
    found = until_decided(bare_lab(tmp_path), experiment.sign)
    assert experiment.asked == [64, 128] or experiment.asked == list(SIZES)
    assert found.series[-1]["verdict"] == "pass"
    first, last = found.series[0], found.series[-1]
    assert last["high"] - last["low"] < first["high"] - first["low"]


def test_a_check_keeps_what_decided_it_although_another_goes_on(tmp_path: Path) -> None:
    clear, open_ = Experiment(-5), Experiment(0.0)
    both = Question(bare_lab(tmp_path), lambda lab: lab, {SIGN: clear.sign, EFFECT: open_.effect}, grows=[SIGN, EFFECT])
    goes_on, decided = both(EFFECT), both(SIGN)
    assert open_.asked == list(SIZES) and len(goes_on.series) == 3
    assert clear.asked == [64] and decided == until_decided(bare_lab(tmp_path), Experiment(-5).sign)


def test_what_does_not_grow_is_measured_at_its_full_level_and_taken_from_the_first_look(tmp_path: Path) -> None:
    experiment = Experiment(0.0, cost=0.05)  # open, and more scenarios do not change that
    found = experiment.question(bare_lab(tmp_path))(COST)
    quick = experiment.question(bare_lab(tmp_path, "quick"))(COST)
    assert found.series == ()
    ours, theirs = found.estimate, quick.estimate
    assert ours is not None and theirs is not None
    assert ours.alpha == theirs.alpha == 0.05 and ours.high - ours.low == pytest.approx(theirs.high - theirs.low, rel=0.1)


def test_each_look_spends_its_share_of_a_gates_alpha_too(tmp_path: Path) -> None:
    lab = bare_lab(tmp_path)
    spent = [lab.at(look).alpha("q6.perplexity") for look in lab.looks()]
    assert spent == pytest.approx(shares(0.001, SIZES)) and sum(spent) == pytest.approx(0.001)
    assert lab.alpha("q6.perplexity") == 0.001 and lab.level == 0.05


def test_the_pairs_of_a_look_are_the_first_of_the_next(tmp_path: Path) -> None:
    lab = bare_lab(tmp_path)
    drawn = [lab.at(look).pairs("test") for look in lab.looks()]
    assert [len(pairs) for pairs in drawn] == list(SIZES)
    assert drawn[1][:64] == drawn[0] and drawn[2][:128] == drawn[1] and drawn[2] == lab.pairs("test")
    assert len(set(domains_of(drawn[0]))) == len(set(domains_of(drawn[2])))


def test_what_q3_and_q7_score_is_a_part_of_what_all_others_score_in_the_store(tmp_path: Path) -> None:
    lab = bare_lab(tmp_path, "quick")
    pairs = lab.pairs("test")
    assert q3.CONVERSATIONS == q7.DIRECTIONS == RECORDED
    assert across_domains(pairs, RECORDED) == across_domains(lab.behavior.split("test"), RECORDED) == pairs[:RECORDED]
    assert shared_sizes("quick") == (RECORDED, len(pairs)) == lab.at(None).recordings.grown
    assert shared_sizes("full") == ()
