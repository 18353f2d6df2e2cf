"""n_to_resolve: the square-root law and its refusals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.power import n_to_resolve


def test_half_the_gap_needs_four_times_the_scenarios() -> None:
    assert n_to_resolve(0.1, 0.2, 60, 0.0) == 241


def test_an_interval_that_already_clears_the_bound_needs_no_more() -> None:
    assert n_to_resolve(0.5, 0.2, 60, 0.0) == 60


@pytest.mark.parametrize("bound", [0.1, 0.1 + 1e-9])
def test_an_estimate_on_the_bound_is_never_settled(bound: float) -> None:
    assert n_to_resolve(0.1, 0.2, 60, bound) is None


@given(st.floats(-5, 5), st.floats(0, 5), st.integers(1, 1000), st.floats(-5, 5))
def test_the_named_number_is_enough(estimate: float, half_width: float, n: int, bound: float) -> None:
    needed = n_to_resolve(estimate, half_width, n, bound)
    if needed is not None:
        assert needed >= n
        assert half_width * (n / needed) ** 0.5 <= abs(estimate - bound) * (1 + 1e-9)


@pytest.mark.parametrize(
    ("estimate", "half_width", "n", "bound", "named"),
    [(float("nan"), 1.0, 5, 0.0, "estimate"), (0.0, -1.0, 5, 1.0, "half_width"), (0.0, 1.0, 0, 1.0, "n")],
)
def test_refuses_by_name(estimate: float, half_width: float, n: int, bound: float, named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named}"):
        n_to_resolve(estimate, half_width, n, bound)
