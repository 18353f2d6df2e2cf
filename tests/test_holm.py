"""Holm's adjustment: a worked example, properties, the level under a flat null, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.holm import holm_adjusted

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def test_a_worked_example() -> None:
    assert np.allclose(holm_adjusted([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])


def test_one_test_needs_no_adjustment() -> None:
    assert holm_adjusted([0.02]) == 0.02


@given(P_VALUES)
def test_between_the_p_value_and_bonferroni(p: list[float]) -> None:
    adjusted = holm_adjusted(p)
    assert (adjusted >= np.array(p)).all()
    assert (adjusted <= np.minimum(np.array(p) * len(p), 1) + 1e-12).all()


@given(P_VALUES)
def test_order_is_kept(p: list[float]) -> None:
    adjusted = holm_adjusted(p)
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()


def test_under_a_flat_null_one_family_in_twenty_has_a_false_rejection_at_most() -> None:
    rng = np.random.default_rng(0)
    false = sum(bool((holm_adjusted(rng.random(11)) <= 0.05).any()) for _ in range(4000))
    assert false / 4000 < 0.06


def test_planted_effects_are_found_beside_nulls() -> None:
    assert (holm_adjusted([1e-6, 1e-5, 0.4, 0.9, 0.2]) <= 0.05).tolist() == [True, True, False, False, False]


@pytest.mark.parametrize("bad", [[], [0.1, float("nan")], [-0.1], [1.1], [[0.1]]])
def test_what_is_no_family_is_refused(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="p_values"):
        holm_adjusted(bad)
