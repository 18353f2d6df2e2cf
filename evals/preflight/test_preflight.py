"""Five gates on the instrument itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.data.measurement import Measurement
from harness.gate.judging import Gate


@pytest.mark.gate("preflight.data")
def test_data_does_not_give_the_answer_away(gate: Gate, measured: Callable[[str], Measurement]) -> None:
    gate.judge(measured("preflight.data"))


@pytest.mark.gate("preflight.judge")
def test_judge_is_right_on_unseen_scenarios(gate: Gate, measured: Callable[[str], Measurement]) -> None:
    gate.judge(measured("preflight.judge"))


@pytest.mark.gate("preflight.finite")
def test_weights_and_outputs_are_finite(gate: Gate, measured: Callable[[str], Measurement]) -> None:
    gate.judge(measured("preflight.finite"))


@pytest.mark.gate("preflight.adapter_is_live")
def test_adapter_is_live(gate: Gate, measured: Callable[[str], Measurement]) -> None:
    gate.judge(measured("preflight.adapter_is_live"))


@pytest.mark.gate("preflight.engines_agree")
def test_engines_agree(gate: Gate, measured: Callable[[str], Measurement]) -> None:
    gate.judge(measured("preflight.engines_agree"))
