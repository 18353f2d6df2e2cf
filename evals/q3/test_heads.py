"""Q3's check and its findings."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.data.measurement import Measurement
from harness.gate.judging import Gate


@pytest.mark.finding("q3.localization", needs=("preflight.adapter_is_live",))
def test_few_heads_or_many(gate: Gate, q3: Callable[[str], Measurement]) -> None:
    gate.judge(q3("q3.localization"))


@pytest.mark.check("q3.stability", needs=("preflight.adapter_is_live",))
def test_halves_agree_on_the_top_heads_more_than_for_sham(gate: Gate, q3: Callable[[str], Measurement]) -> None:
    gate.judge(q3("q3.stability"))


@pytest.mark.finding("q3.layers", needs=("preflight.adapter_is_live",))
def test_which_layers(gate: Gate, q3: Callable[[str], Measurement]) -> None:
    gate.judge(q3("q3.layers"))


@pytest.mark.finding("q3.rank", needs=("preflight.adapter_is_live",))
def test_how_low_a_rank_suffices(gate: Gate, q3: Callable[[str], Measurement]) -> None:
    gate.judge(q3("q3.rank"))
