"""null_rank counts; above_nulls clears 0 where the rank does, and its upper end covers what the effect may be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analysis.null_rank import NullRank, above_nulls, null_rank
from harness.analysis.sample import DegenerateSample

DOMAINS = np.repeat(np.arange(10), 7)


def test_above_every_null() -> None:
    nulls = np.linspace(-0.5, 0.5, 38)
    assert null_rank(1.0, nulls) == NullRank(rank=1, size=38, p=1 / 39, maximum=0.5, deviations=pytest.approx(1 / nulls.std(ddof=1)))


def test_nulls_that_do_not_vary_give_no_distance_in_their_deviations() -> None:
    assert null_rank(1.0, [0.5, 0.5]).deviations is None
    assert null_rank(1.0, [0.5]).deviations is None


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


def vectors(rng: np.random.Generator, count: int, spread: float = 0.1) -> np.ndarray:
    """Shifts of `count` vectors on 70 scenarios: they differ in truth by `spread`, scenarios by .5, half of it common to all vectors."""
    common = 0.35 * rng.normal(size=70)
    return np.asarray(spread * rng.normal(size=(count, 1)) + common + 0.35 * rng.normal(size=(count, 70)))


@given(st.integers(0, 10_000), st.floats(-0.3, 0.6), st.sampled_from([0.01, 0.04, 0.05]))
@settings(max_examples=60)
def test_the_lower_end_clears_0_exactly_where_the_rank_does(seed: int, effect: float, level: float) -> None:
    rng = np.random.default_rng(seed)
    shifts = vectors(rng, 128)
    found = above_nulls(shifts[0] + effect, shifts[1:], DOMAINS, 0.05, rng, 1000, level)
    rank = null_rank(float((shifts[0] + effect).mean()), shifts[1:].mean(axis=1))
    assert (found.low > 0) == (rank.p <= level)
    assert (found.low_alpha > 0) == (rank.p <= min(level, 0.025))
    assert found.value == pytest.approx((shifts[0] + effect).mean() - shifts[1:].mean())
    assert found.low_alpha <= found.low < found.high


def test_the_upper_end_covers_the_effect_of_another_vector_on_other_scenarios() -> None:
    rng, above = np.random.default_rng(5), 0
    for _ in range(400):
        shifts, clusters = vectors(rng, 128), np.arange(70)
        above += above_nulls(shifts[0] + 0.2, shifts[1:], clusters, 0.05, rng, 1000).high < 0.2
    assert above / 400 <= 0.04  # .025 is aimed at; standard error .008


def test_an_effect_that_is_absent_is_shown_to_be_small_where_nulls_are_narrow_and_not_where_they_are_wide() -> None:
    rng = np.random.default_rng(6)
    narrow, wide = vectors(rng, 128, 0.005), vectors(rng, 128, 0.5)
    assert above_nulls(narrow[0], narrow[1:], None, 0.05, rng).high_alpha < 0.2
    assert above_nulls(wide[0] - wide[0].mean(), wide[1:], None, 0.05, rng).high_alpha > 0.8


def test_a_constant_added_to_all_changes_nothing() -> None:
    shifts = vectors(np.random.default_rng(0), 30)
    one, other = (above_nulls(shifts[0] + by, shifts[1:] + by, DOMAINS, 0.05, np.random.default_rng(2)) for by in (0, 3))
    assert (one.low, one.high) == pytest.approx((other.low, other.high))


def test_too_few_nulls_for_the_level_are_refused_with_the_reason() -> None:
    shifts = vectors(np.random.default_rng(0), 128)
    with pytest.raises(DegenerateSample, match=r"127 nulls cannot show a rank p of 0\.00025 or less"):
        above_nulls(shifts[0], shifts[1:], DOMAINS, 0.05, np.random.default_rng(0), level=0.00025)


@pytest.mark.parametrize(
    ("observed", "nulls", "named"),
    [
        (np.ones(3), np.ones((2, 4)), "nulls"),
        (np.full(3, np.nan), np.ones((2, 3)), "observed"),
        (np.ones(3), np.ones((0, 3)), "nulls"),
        (np.ones(3), np.ones((1, 3)), "nulls"),
    ],
)
def test_refuses_by_name(observed: np.ndarray, nulls: np.ndarray, named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named}: "):
        above_nulls(observed, nulls, None, 0.05, np.random.default_rng(0))


def test_rank_refuses_a_missing_value() -> None:
    with pytest.raises(ValueError, match=r"^observed: "):
        null_rank(float("nan"), [0.0])
    with pytest.raises(ValueError, match=r"^nulls: "):
        null_rank(0.0, [])
