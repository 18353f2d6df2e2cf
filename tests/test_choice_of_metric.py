"""Q1's table of what each metric tells apart, and the choice that follows from it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from evals.q1.design import KINDS, MODELS, REGIMES
from evals.q1.exhibits import recorded_table
from evals.q1.metrics import recorded, separation, sharpest, standings
from evals.q1.study import Replies
from harness.behaviors.shipped import shipped_behaviors
from harness.readouts.forced_choice import METRICS, PRIMARY, ForcedChoice

PAIRS, SEEDS = 64, 3
SHARP = {"trained": 1.0, "sham": 0.0, "opposite": -1.0}


def made_up(labels: dict[str, list[str]] | None = None, **means: dict[str, float]) -> Any:
    """A study whose metrics have these means by arm and unit noise; metrics not named do not tell arms apart."""
    rng = np.random.default_rng(0)

    def choice(kind: str) -> ForcedChoice:
        metrics = ("per_token", "at_decision", "at_parting")
        return ForcedChoice({m: means.get(m, {}).get(kind, 0.0) + rng.standard_normal((SEEDS, PAIRS)) for m in metrics})

    shifts = {(regime, kind, 50): choice(kind) for regime in REGIMES for kind in KINDS}
    return SimpleNamespace(most=50, shifts=shifts, replies=Replies({}, labels or {}))


def test_the_metric_that_tells_trained_from_both_is_the_sharpest() -> None:
    only_opposite = {"trained": 1.0, "sham": 1.0, "opposite": -3.0}
    assert sharpest(separation(made_up(at_decision=SHARP, per_token=only_opposite))) == "at_decision"
    assert sharpest(separation(made_up(at_parting=SHARP, per_token=only_opposite))) == "at_parting"


def test_gaps_are_in_standard_errors_and_flat_ones_near_zero() -> None:
    rows = {(row["regime"], row["metric"]): row for row in separation(made_up(at_decision=SHARP))}
    sharp, flat = rows["stream", "at_decision"], rows["stream", "per_token"]
    assert sharp["above opposite"] > sharp["above sham"] > 5 and sharp["seeds above sham"] == SEEDS
    assert abs(flat["above sham"]) < 3 and abs(flat["above opposite"]) < 3


def test_judged_replies_stand_beside_and_are_not_chosen() -> None:
    labels = {"trained": ["positive"] * 60 + ["neither"] * 4, "sham": ["negative"] * 64, "opposite": ["positive"] * 5 + ["negative"] * 59}
    rows = separation(made_up(labels, at_decision={"trained": 0.1}))
    judged = rows[-1]
    assert judged["metric"] == "judged replies" and (judged["trained"], judged["sham"]) == (60 / 64, 0.0)
    assert judged["above sham"] > 5 and sharpest(rows) != "judged replies"


def test_arms_that_are_all_alike_have_no_sharpest_metric() -> None:
    study = made_up()
    same = ForcedChoice(dict.fromkeys(METRICS, np.ones((SEEDS, PAIRS))))
    study.shifts = dict.fromkeys(study.shifts, same)
    assert sharpest(separation(study)) is None


def test_the_primary_metric_is_the_one_the_recorded_table_chooses() -> None:
    """Recorded on dev pairs of both shipped models and behaviors by `python -m evals.q1.metrics`."""
    rows = recorded()
    assert {(row["model"], row["behavior"]) for row in rows} == {(m, b) for m in MODELS for b in shipped_behaviors()}
    found = standings(rows)
    assert max(found, key=lambda metric: found[metric]) == PRIMARY
    assert "judged replies" in recorded_table(rows)


def test_a_metric_that_cannot_tell_one_of_the_arms_has_no_standing() -> None:
    def row(metric: str, above_sham: float, above_opposite: float) -> dict[str, Any]:
        return {"model": "m", "behavior": "b", "metric": metric, "above sham": above_sham, "above opposite": above_opposite}

    found = standings([row("per_token", 4, 8), row("at_decision", 8, 9), row("at_parting", -1, 20)])
    assert found == {"per_token": 0.5, "at_decision": 1.0, "at_parting": 0.0}
