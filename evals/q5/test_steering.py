"""Q5's checks and its finding."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.data.measurement import Measurement
from harness.gate.judging import Gate


@pytest.mark.check("q5.effect")
def test_true_vector_stands_above_its_null(gate: Gate, q5: Callable[[str], Measurement]) -> None:
    gate.judge(q5("q5.effect"))


@pytest.mark.check("q5.coherence")
def test_steering_keeps_the_language(gate: Gate, q5: Callable[[str], Measurement]) -> None:
    gate.judge(q5("q5.coherence"))


@pytest.mark.check("q5.sign")
def test_reversed_vector_lowers_the_behavior(gate: Gate, q5: Callable[[str], Measurement]) -> None:
    gate.judge(q5("q5.sign"))


@pytest.mark.check("q5.anti_steerable")
def test_few_scenarios_move_the_wrong_way(gate: Gate, q5: Callable[[str], Measurement]) -> None:
    gate.judge(q5("q5.anti_steerable"))


@pytest.mark.check("q5.overcompliance")
def test_steering_does_not_become_obedience(gate: Gate, q5: Callable[[str], Measurement]) -> None:
    gate.judge(q5("q5.overcompliance"))


@pytest.mark.check("q5.engine_parity")
def test_engines_agree_when_steered(gate: Gate, q5: Callable[[str], Measurement]) -> None:
    gate.judge(q5("q5.engine_parity"))


@pytest.mark.finding("q5.viability")
def test_is_the_complex_behavior_as_steerable_as_a_simple_feature(gate: Gate, q5: Callable[[str], Measurement]) -> None:
    gate.judge(q5("q5.viability"))
