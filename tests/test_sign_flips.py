"""harness/analysis/sign_flips.py: a group, balanced, that leaves a rank uniform where labels say nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.sign_flips import sign_flips


@given(st.integers(1, 200), st.integers(1, 6), st.integers(0, 10_000))
def test_elements_multiply_to_elements_and_the_first_flips_nothing(pairs: int, exponent: int, seed: int) -> None:
    signs = sign_flips(pairs, exponent, np.random.default_rng(seed))
    assert signs.shape == (2**exponent, pairs)
    assert (signs[0] == 1).all()
    rows = {tuple(row) for row in signs}
    assert {tuple(one * other) for one in signs for other in signs} == rows
    assert len(rows) == 2**exponent or pairs < exponent


@pytest.mark.parametrize("pairs", [128, 256])
def test_half_of_the_pairs_are_flipped_and_no_two_labelings_agree_on_more_than_half(pairs: int) -> None:
    signs = sign_flips(pairs, 7, np.random.default_rng(0))
    np.testing.assert_array_equal(signs @ signs.T, pairs * np.eye(128))


def test_a_few_pairs_more_or_less_are_nearly_balanced() -> None:
    for pairs in (84, 126, 150):
        kept = np.abs(sign_flips(pairs, 7, np.random.default_rng(1))[1:].mean(axis=1))
        assert np.sqrt((kept**2).mean()) < 0.8 / np.sqrt(pairs)  # independent flips: 1 / sqrt(pairs)


@pytest.mark.parametrize(("pairs", "exponent"), [(0, 3), (4, 0)])
def test_nothing_to_flip_is_refused(pairs: int, exponent: int) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        sign_flips(pairs, exponent, np.random.default_rng(0))
