"""Rates over runs that share adapters: exact where nothing is shared, wide enough where much is."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.analysis.error_rates import clustered_rate


def test_without_events_every_adapter_is_one_trial_and_independent_runs_stand_beside() -> None:
    members = list(permutations(range(20), 2))
    rate = clustered_rate([0] * len(members), members)
    assert (rate.value, rate.low, rate.low_independent) == (0, 0, 0)
    assert rate.high == pytest.approx(1 - 0.025 ** (1 / 20)) and rate.high_independent == pytest.approx(1 - 0.025 ** (1 / 380))
    always = clustered_rate([1] * len(members), members)
    assert (always.high, always.low) == (1, pytest.approx(1 - rate.high))


def test_runs_that_share_nothing_have_clopper_and_pearsons_interval() -> None:
    flags = [1] * 7 + [0] * 43
    rate = clustered_rate(flags, [(i,) for i in range(50)])
    exact = stats.binomtest(7, 50).proportion_ci(method="exact")
    assert (rate.low_independent, rate.high_independent) == pytest.approx((exact.low, exact.high))
    assert rate.low == pytest.approx(exact.low, abs=0.01) and rate.high == pytest.approx(exact.high, abs=0.01)


def test_events_of_one_adapter_count_as_few() -> None:
    members = list(permutations(range(12), 2))
    of_one = clustered_rate([float(0 in pair) for pair in members], members)
    rng = np.random.default_rng(0)
    scattered = clustered_rate(rng.permutation([float(0 in pair) for pair in members]), members)
    assert of_one.value == scattered.value
    assert of_one.high - of_one.low > 2 * (scattered.high - scattered.low) > 0


@pytest.mark.parametrize("rate", [0.05, 0.3])
def test_it_covers_where_adapters_differ(rate: float) -> None:
    """An event where the difference of two adapters' qualities is beyond a quantile: all dependence is through adapters."""
    rng, covered = np.random.default_rng(1), 0
    members = list(permutations(range(20), 2))
    first, second = np.array(members).T
    cut = float(stats.norm.isf(rate)) * np.sqrt(2)
    for _ in range(400):
        quality = rng.standard_normal(20)
        found = clustered_rate((quality[first] - quality[second] > cut).astype(float), members)
        covered += found.low <= rate <= found.high
    assert covered >= stats.binom.ppf(0.01, 400, 0.93)


def test_as_if_independent_would_not_cover() -> None:
    rng, covered = np.random.default_rng(2), 0
    members = list(permutations(range(20), 2))
    first, second = np.array(members).T
    for _ in range(200):
        quality = rng.standard_normal(20)
        found = clustered_rate((quality[first] - quality[second] > 2.3).astype(float), members)
        covered += found.low_independent <= stats.norm.sf(2.3 / np.sqrt(2)) <= found.high_independent
    assert covered < 0.85 * 200


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=60))
def test_the_interval_holds_the_rate_and_is_no_narrower_than_of_all_runs(rows: list[tuple[bool, int, int]]) -> None:
    rate = clustered_rate([float(flag) for flag, _, _ in rows], [tuple({a, b}) for _, a, b in rows])
    assert 0 <= rate.low <= rate.value <= rate.high <= 1
    assert rate.low <= rate.low_independent + 1e-9 and rate.high >= rate.high_independent - 1e-9


def test_refusals() -> None:
    with pytest.raises(ValueError, match="events: must be true or false"):
        clustered_rate([0.5], [(1,)])
    with pytest.raises(ValueError, match="members: 1 runs, must be 2 as events"):
        clustered_rate([0, 1], [(1,)])
    with pytest.raises(ValueError, match="events"):
        clustered_rate([], [])
