from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.control_chart import CEILING, FLOOR, RISE, Chart, tuned, upper_rate

PROBES = 48


@given(st.lists(st.integers(0, PROBES), min_size=1, max_size=40), st.floats(0.05, 0.7))
def test_the_path_is_pages_recursion(counts: list[int], p0: float) -> None:
    chart, value = Chart(p0, p0 + RISE, 5.0), 0.0
    for count, got in zip(counts, chart.path(counts, PROBES), strict=True):
        ratio = count * math.log(chart.p1 / p0) + (PROBES - count) * math.log((1 - chart.p1) / (1 - p0))
        value = max(0.0, value + ratio)
        assert got == pytest.approx(value)


def test_the_upper_rate_is_clopper_pearsons_rounded_up() -> None:
    assert upper_rate(30, 128) == 0.28  # R: binom.test(30, 128, conf.level = .6)$conf.int[2] = .2715
    assert upper_rate(0, 10_000) == FLOOR and upper_rate(9, 9) == CEILING


@pytest.mark.parametrize("flagged", [-1, 49])
def test_more_flags_than_probes_are_refused(flagged: int) -> None:
    with pytest.raises(ValueError, match="must be 0 to probes"):
        Chart(0.2, 0.4, 5.0).update(0.0, flagged, PROBES)


@pytest.mark.parametrize("rate", [0.1, 0.25])
def test_false_alarms_and_faults_over_histories_of_thirty_cycles(rate: float) -> None:
    """200 histories, each with a baseline of 64 probes: at most 3 % of clean ones alarm, 90 % of faults of +.3 are caught in 3 cycles."""
    rng = np.random.default_rng(0)
    alarms = caught = 0
    for _ in range(200):
        chart = tuned(int(rng.binomial(64, rate)), 64, PROBES)
        alarms += max(chart.path(rng.binomial(PROBES, rate, 30).tolist(), PROBES)) >= chart.limit
        faulty = [*rng.binomial(PROBES, rate, 10), *rng.binomial(PROBES, rate + 0.3, 3)]
        caught += max(chart.path([int(x) for x in faulty], PROBES)[10:]) >= chart.limit
    assert alarms / 200 <= 0.03 and caught / 200 >= 0.9
