"""Q4's gate, checks and finding."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from evals.q4.design import JUDGED, LIVE
from harness.data.measurement import Measurement
from harness.gate.judging import Gate


@pytest.mark.gate("q4.regression", needs=LIVE)
def test_no_regression_against_the_accepted_cycle(gate: Gate, q4: Callable[[str], Measurement]) -> None:
    gate.judge(q4("q4.regression"))


@pytest.mark.gate("q4.drift", needs=LIVE)
def test_no_slow_regression_against_the_pinned_cycle(gate: Gate, q4: Callable[[str], Measurement]) -> None:
    gate.judge(q4("q4.drift"))


@pytest.mark.gate("q4.judged_rate", needs=(*LIVE, *JUDGED))
def test_no_regression_in_what_is_said(gate: Gate, q4: Callable[[str], Measurement]) -> None:
    gate.judge(q4("q4.judged_rate"))


@pytest.mark.gate("q4.worst_domain", needs=LIVE)
def test_no_regression_in_the_worst_domain(gate: Gate, q4: Callable[[str], Measurement]) -> None:
    gate.judge(q4("q4.worst_domain"))


@pytest.mark.finding("q4.learned", needs=LIVE)
def test_no_regression_because_nothing_was_learned(gate: Gate, q4: Callable[[str], Measurement]) -> None:
    gate.judge(q4("q4.learned"))


@pytest.mark.check("q4.surfacing")
def test_regression_surfaces_the_failure_pattern(gate: Gate, q4: Callable[[str], Measurement]) -> None:
    gate.judge(q4("q4.surfacing"))


@pytest.mark.check("q4.flagging", needs=JUDGED)
def test_regression_is_flagged(gate: Gate, q4: Callable[[str], Measurement]) -> None:
    gate.judge(q4("q4.flagging"))


@pytest.mark.check("q4.detection", needs=JUDGED)
def test_regression_sets_off_the_control_chart(gate: Gate, q4: Callable[[str], Measurement]) -> None:
    gate.judge(q4("q4.detection"))


@pytest.mark.finding("q4.self_healing", needs=JUDGED)
def test_regression_heals_in_a_closed_loop(gate: Gate, q4: Callable[[str], Measurement]) -> None:
    gate.judge(q4("q4.self_healing"))
