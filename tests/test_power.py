"""n_to_resolve: the square-root law and its refusals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.power import MOST, n_to_resolve


def test_half_the_gap_needs_four_times_the_scenarios() -> None:
    assert n_to_resolve(0.1, 0.2, 60) == 240


def test_the_number_is_more_than_there_are_even_where_the_interval_is_clear_of_the_bound() -> None:
    assert n_to_resolve(0.5, 0.2, 60) == 61


@pytest.mark.parametrize("gap", [0.0, -0.1, 1e-9])
def test_an_estimate_on_the_bound_or_beyond_it_is_never_settled(gap: float) -> None:
    assert n_to_resolve(gap, 0.2, 60) is None


@given(st.floats(-5, 5), st.floats(0, 5), st.integers(1, 1000))
def test_the_named_number_is_enough(gap: float, half_width: float, n: int) -> None:
    needed = n_to_resolve(gap, half_width, n)
    if needed is not None:
        assert n < needed <= MOST
        assert half_width * (n / needed) ** 0.5 <= gap * (1 + 1e-9)


@pytest.mark.parametrize(
    ("gap", "half_width", "n", "named"),
    [(float("nan"), 1.0, 5, "gap"), (1.0, -1.0, 5, "half_width"), (1.0, float("inf"), 5, "half_width"), (1.0, 1.0, 0, "n")],
)
def test_refuses_by_name(gap: float, half_width: float, n: int, named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named}"):
        n_to_resolve(gap, half_width, n)
