"""tests/tolerance.py: the same for every size and number type, and no mercy for a wrong number."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.engines.protocol import Scored
from tests.tolerance import ALGORITHM, ORDER, apart, rounding


@given(st.floats(1e-6, 1e6))
def test_roundings_do_not_depend_on_size(scale: float) -> None:
    numbers = np.array([1.0, -3.0, 0.25])
    assert apart(scale * (numbers + 1e-6), scale * numbers) == pytest.approx(apart(numbers + 1e-6, numbers))


def test_one_unit_in_the_last_place_is_at_most_one_rounding() -> None:
    one = np.float32(140.0)
    assert 0.5 <= apart(np.nextafter(one, np.float32(np.inf)), one) <= 1
    assert 0.5 <= apart(torch.tensor(1.0078125), torch.tensor(1.0), torch.bfloat16) <= 1


def test_sums_in_another_order_are_within_order() -> None:
    numbers = np.random.default_rng(0).normal(size=(64, 4096)).astype(np.float32)
    one, other = (np.array([np.add.accumulate(row)[-1] for row in part]) for part in (numbers, numbers[:, ::-1]))
    assert 0 < apart(one, other) <= ORDER


def test_a_wrong_number_is_far_beyond() -> None:
    numbers = np.random.default_rng(0).normal(size=100)
    wrong = numbers.copy()
    wrong[7] += 1e-3
    assert apart(wrong, numbers) > 10 * ALGORITHM


def test_where_all_cancelled_their_size_counts() -> None:
    assert apart(np.array([1e-6]), np.array([0.0]), size=8.0) == pytest.approx(1e-6 / rounding(8.0)) and rounding(8.0) == 2**-20
    assert apart(np.zeros(3), np.zeros(3)) == 0
    with np.errstate(divide="ignore"), pytest.raises(ZeroDivisionError):
        apart(1e-9, 0.0)


def test_scores_are_compared_token_by_token_and_shapes_must_agree() -> None:
    scored = [Scored((1, 2), np.array([-1.0, -2.0])), Scored((3,), np.array([-4.0]))]
    assert apart(scored, [one.log_probabilities for one in scored]) == 0
    with pytest.raises(ValueError, match="found has 3 numbers and expected has 2"):
        apart(scored, scored[:1])
