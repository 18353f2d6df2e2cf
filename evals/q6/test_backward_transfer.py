"""Q6's gates and findings."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from evals.q6.design import LIVE
from harness.data.measurement import Measurement
from harness.gate.judging import Gate


@pytest.mark.gate("q6.perplexity", needs=LIVE)
def test_prose_is_as_likely_as_before(gate: Gate, q6: Callable[[str], Measurement]) -> None:
    gate.judge(q6("q6.perplexity"))


@pytest.mark.gate("q6.code", needs=LIVE)
def test_functions_pass_their_tests_as_before(gate: Gate, q6: Callable[[str], Measurement]) -> None:
    gate.judge(q6("q6.code"))


@pytest.mark.gate("q6.reasoning", needs=LIVE)
def test_questions_are_answered_as_before(gate: Gate, q6: Callable[[str], Measurement]) -> None:
    gate.judge(q6("q6.reasoning"))


@pytest.mark.finding("q6.positive_transfer", needs=LIVE)
def test_which_domains_gain(gate: Gate, q6: Callable[[str], Measurement]) -> None:
    gate.judge(q6("q6.positive_transfer"))


@pytest.mark.finding("q6.general_mix", needs=LIVE)
def test_which_share_of_general_data_undoes_harm(gate: Gate, q6: Callable[[str], Measurement]) -> None:
    gate.judge(q6("q6.general_mix"))
