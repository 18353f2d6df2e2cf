"""Q1's checks and its finding."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.data.measurement import Measurement
from harness.gate.judging import Gate


@pytest.mark.check("q1.effect_at_max")
def test_fifty_examples_change_the_behavior(gate: Gate, q1: Callable[[str], Measurement]) -> None:
    gate.judge(q1("q1.effect_at_max"))


@pytest.mark.check("q1.attention_shift")
def test_attention_moves_in_the_trained_direction(gate: Gate, q1: Callable[[str], Measurement]) -> None:
    gate.judge(q1("q1.attention_shift"))


@pytest.mark.check("q1.knee")
def test_knee_of_the_dose_curve(gate: Gate, q1: Callable[[str], Measurement]) -> None:
    gate.judge(q1("q1.knee"))


@pytest.mark.finding("q1.onset")
def test_which_training_mode_suffices(gate: Gate, q1: Callable[[str], Measurement]) -> None:
    gate.judge(q1("q1.onset"))
