"""Shares of an error rate: they add up, leave nearly all to the last look, and hold their rate where peeking does not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from evals.calibration.peeking import RULES, peeking
from harness.analysis.spending import shares, spent
from harness.experiment.profile import looks

levels = st.floats(1e-6, 0.5)


@given(levels, st.lists(st.integers(1, 10_000), min_size=1, max_size=8, unique=True).map(sorted))
def test_shares_sum_to_the_level_and_none_is_negative(level: float, sizes: list[int]) -> None:
    found = shares(level, sizes)
    assert sum(found) == pytest.approx(level, rel=1e-9)
    assert min(found) >= 0 and len(found) == len(sizes)


@given(levels, st.floats(0.01, 1), st.floats(0.01, 1))
def test_more_is_spent_the_more_is_seen_and_more_of_a_higher_level(level: float, one: float, other: float) -> None:
    low, high = sorted((one, other))
    rounding = 1 + 1e-12  # fractions that differ in the last digit may come out in the other order
    assert spent(level, low) <= spent(level, high) * rounding <= level * rounding**2
    assert spent(level / 2, one) <= spent(level, one) * rounding


def test_one_look_is_the_fixed_rule() -> None:
    assert shares(0.05, (64,)) == (0.05,)


def test_the_shares_are_what_published_boundaries_of_this_function_spend() -> None:
    """Three equal looks at .025, one side: 3.7103, 2.5114, 1.9930 (R's gsDesign with sfLDOF). How often each is the first to be crossed."""
    bounds, times = np.array([3.7103, 2.5114, 1.9930]), np.array([1, 2, 3]) / 3
    correlation = np.sqrt(np.minimum.outer(times, times) / np.maximum.outer(times, times))
    stays = [float(stats.multivariate_normal(cov=correlation[:k, :k]).cdf(bounds[:k])) for k in (1, 2, 3)]
    assert -np.diff([1.0, *stays]) == pytest.approx(shares(0.025, (1, 2, 3)), abs=2e-5)


def test_what_is_no_fraction_and_what_does_not_rise_is_refused() -> None:
    with pytest.raises(ValueError, match="fraction: is 0"):
        spent(0.05, 0)
    with pytest.raises(ValueError, match="alpha: is 0"):
        spent(0, 0.5)
    for sizes in ((), (0, 3), (64, 64), (128, 64)):
        with pytest.raises(ValueError, match="sizes: are"):
            shares(0.05, sizes)


@pytest.mark.parametrize(
    ("fewest", "most", "sizes"), [(64, 224, (64, 128, 224)), (64, 140, (64, 140)), (64, 70, (70,)), (64, 40, (40,)), (5, 20, (5, 10, 20))]
)
def test_looks_double_and_the_last_but_one_leaves_enough_to_add(fewest: int, most: int, sizes: tuple[int, ...]) -> None:
    found = looks(fewest, most)
    assert found[0].sizes == sizes and [look.size for look in found] == list(sizes)
    assert sum(look.share(0.01) for look in found) == pytest.approx(0.01)


def test_the_rule_keeps_its_error_rate_where_peeking_does_not() -> None:
    """Scenarios in domains, nothing there: the fixed rule and ours err in 5 % and in 1 %, looking thrice at full level far more often."""
    rng = np.random.default_rng(3)
    values = rng.exponential(size=(224, 1)) * rng.standard_normal((224, 3))
    found = peeking(values, np.repeat(np.arange(32), 7), histories=600, seed=1)
    assert [row.rule for row in found.rows] == list(RULES)
    fixed, often, ours = found.rows
    margin = 3 * (0.05 * 0.95 / 600) ** 0.5
    assert fixed.errs <= 0.05 + margin and ours.errs <= 0.05 + margin and ours.errs_at_alpha <= 0.01 + 3 * (0.01 / 600) ** 0.5
    assert often.errs >= 1.5 * max(fixed.errs, 0.03)
    assert ours.mean_size < 224 and ours.decides >= fixed.decides - 0.06
