"""Q7's findings."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.data.measurement import Measurement
from harness.gate.judging import Gate


@pytest.mark.finding("q7.separation", needs=("preflight.adapter_is_live",))
def test_do_directions_stand_apart_in_the_state(gate: Gate, q7: Callable[[str], Measurement]) -> None:
    gate.judge(q7("q7.separation"))


@pytest.mark.finding("q7.state_swap", needs=("preflight.adapter_is_live",))
def test_does_the_state_carry_what_was_learned(gate: Gate, q7: Callable[[str], Measurement]) -> None:
    gate.judge(q7("q7.state_swap"))


@pytest.mark.finding("q7.disposition", needs=("preflight.adapter_is_live",))
def test_is_the_state_direction_shaped(gate: Gate, q7: Callable[[str], Measurement]) -> None:
    gate.judge(q7("q7.disposition"))
