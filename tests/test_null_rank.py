"""null_rank counts; above_null finds a planted effect and lets a null pass for nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.null_rank import NullRank, above_null, null_rank

DOMAINS = np.repeat(np.arange(10), 7)


def test_above_every_null() -> None:
    assert null_rank(1.0, np.linspace(-0.5, 0.5, 38)) == NullRank(rank=1, size=38, p=1 / 39, maximum=0.5)


def test_a_tie_counts_against_the_observed_value() -> None:
    assert null_rank(0.5, [0.5, 0.1]).rank == 2


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50), st.floats(-1e6, 1e6))
def test_rank_and_p_stay_in_bounds(nulls: list[float], observed: float) -> None:
    found = null_rank(observed, nulls)
    assert 1 <= found.rank <= found.size + 1
    assert found.p == found.rank / (found.size + 1) > 0
    assert (found.rank == 1) == (observed > found.maximum)


def test_a_member_of_the_null_population_has_uniform_p() -> None:
    draws = np.random.default_rng(1).normal(size=(10_000, 20))
    p = np.array([null_rank(row[0], row[1:]).p for row in draws])
    assert (p <= 0.05).mean() == pytest.approx(0.05, abs=0.007)  # standard error .002


def test_a_planted_effect_stands_above_the_nulls() -> None:
    rng = np.random.default_rng(0)
    scenarios = rng.normal(size=70)
    estimate = above_null(0.6 + 0.5 * scenarios + 0.3 * rng.normal(size=70), 0.3 * rng.normal(size=(38, 70)), DOMAINS, 0.05, rng)
    assert estimate.low > 0
    assert 0.3 < estimate.value < 0.7


def test_a_null_is_not_shown_above_its_kind() -> None:
    rng = np.random.default_rng(1)
    shown = 0
    for _ in range(200):
        vectors = 0.1 * rng.normal(size=(20, 1)) + 0.5 * rng.normal(size=(20, 70))  # vectors differ in truth, scenarios within them
        shown += above_null(vectors[0], vectors[1:], DOMAINS, 0.05, rng, resamples=1000).low > 0
    assert shown <= 4


def test_a_single_null_is_the_paired_difference_or_wider() -> None:
    rng = np.random.default_rng(0)
    observed, null = rng.normal(size=70), rng.normal(size=70)
    estimate = above_null(observed, null[np.newaxis], DOMAINS, 0.002, rng)
    assert estimate.value == pytest.approx((observed - null).mean())
    assert estimate.low_alpha < estimate.low < estimate.value < estimate.high < estimate.high_alpha


def test_a_constant_added_to_all_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    observed, nulls = rng.normal(size=70), rng.normal(size=(5, 70))
    one = above_null(observed, nulls, DOMAINS, 0.05, np.random.default_rng(2))
    other = above_null(observed + 3, nulls + 3, DOMAINS, 0.05, np.random.default_rng(2))
    assert (one.low, one.high) == pytest.approx((other.low, other.high))


@pytest.mark.parametrize(
    ("observed", "nulls", "named"),
    [(np.ones(3), np.ones((2, 4)), "nulls"), (np.full(3, np.nan), np.ones((2, 3)), "observed"), (np.ones(3), np.ones((0, 3)), "nulls")],
)
def test_refuses_by_name(observed: np.ndarray, nulls: np.ndarray, named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named}: "):
        above_null(observed, nulls, None, 0.05, np.random.default_rng(0))


def test_rank_refuses_a_missing_value() -> None:
    with pytest.raises(ValueError, match=r"^observed: "):
        null_rank(float("nan"), [0.0])
    with pytest.raises(ValueError, match=r"^nulls: "):
        null_rank(0.0, [])
