"""Q2's findings."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.data.measurement import Measurement
from harness.gate.judging import Gate

JUDGED = ("preflight.judge",)


@pytest.mark.finding("q2.label_auc", needs=JUDGED)
def test_labels_tell_failures_from_successes(gate: Gate, q2: Callable[[str], Measurement]) -> None:
    gate.judge(q2("q2.label_auc"))


@pytest.mark.finding("q2.calibration", needs=JUDGED)
def test_as_much_fails_as_is_labeled_hard(gate: Gate, q2: Callable[[str], Measurement]) -> None:
    gate.judge(q2("q2.calibration"))


@pytest.mark.finding("q2.learnable_share", needs=JUDGED)
def test_most_scenarios_can_be_learned_from(gate: Gate, q2: Callable[[str], Measurement]) -> None:
    gate.judge(q2("q2.learnable_share"))


@pytest.mark.finding("q2.temperature", needs=JUDGED)
def test_a_temperature_makes_the_right_difficulty(gate: Gate, q2: Callable[[str], Measurement]) -> None:
    gate.judge(q2("q2.temperature"))
