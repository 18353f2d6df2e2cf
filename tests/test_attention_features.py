"""harness/analysis/attention_features.py: nothing is lost or invented, and a planted move of attention is found where it is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analysis.attention_features import row_features, span_mass_above_control


def rows(seed: int, keys: int, shape: tuple[int, ...] = (2, 3)) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(keys), size=shape)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 20), st.integers(0, 5))
def test_features_sum_to_one(seed: int, before: int, turn: int, tail: int) -> None:
    features = row_features(rows(seed, before + turn + tail), (before, before + turn))
    assert features.shape == (2, 3, 2 + 4 + tail)
    np.testing.assert_allclose(features.sum(axis=-1), 1)
    assert (features > -1e-12).all()


def test_each_feature_is_where_it_should_be() -> None:
    row = np.arange(1.0, 13.0)  # sink 1; before 2 3; turn 4 … 11, two tokens a quarter; tail 12
    assert row_features(row, (3, 11)).tolist() == [1, 5, 9, 13, 17, 21, 12]


def test_a_turn_of_two_tokens_has_half_of_each_in_a_quarter() -> None:
    np.testing.assert_allclose(row_features([0.1, 0.4, 0.3, 0.2], (1, 3)), [0.1, 0, 0.2, 0.2, 0.15, 0.15, 0.2])


def test_a_turn_may_end_the_row() -> None:
    np.testing.assert_allclose(row_features([0.2, 0.1, 0.1, 0.3, 0.3], (1, 5)), [0.2, 0, 0.1, 0.1, 0.3, 0.3])


def test_conversations_of_different_length_have_features_of_one_length() -> None:
    assert row_features(rows(0, 30), (4, 27)).shape == row_features(rows(0, 12), (2, 9)).shape


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 12), st.integers(1, 6))
def test_even_attention_has_nothing_above_its_control(start: int, keys: int, length: int) -> None:
    keys = max(keys, length + 1)
    start = 1 + start % (keys - length)
    flat = np.r_[0.4, np.full(keys - 1, 0.6 / (keys - 1))]
    assert span_mass_above_control(flat, (start, start + length)) == pytest.approx(0, abs=1e-12)


def test_the_first_tokens_mass_does_not_count() -> None:
    row = np.r_[0.9, np.full(10, 0.01)]
    assert span_mass_above_control(row, (1, 4)) == pytest.approx(0, abs=1e-12)


def test_mass_moved_onto_the_span_is_found_there_only() -> None:
    before = np.full((2, 11), 1 / 11)
    after = before.copy()
    after[:, 1:4] -= 0.05
    after[:, 6:9] += 0.05
    change = span_mass_above_control(after, (6, 9)) - span_mass_above_control(before, (6, 9))
    np.testing.assert_allclose(change, 0.15, atol=0.02)
    assert (span_mass_above_control(after, (1, 4)) < span_mass_above_control(before, (1, 4))).all()


def test_by_hand() -> None:
    row = [0.2, 0.1, 0.4, 0.2, 0.1]  # spans of two behind the first token: .5, .6, .3
    assert span_mass_above_control(row, (2, 4)) == pytest.approx(0.6 - 1.4 / 3)


@pytest.mark.parametrize("span", [(0, 3), (3, 3), (4, 2), (2, 9)])
def test_a_span_outside_the_keys_is_refused_by_name(span: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"content: .* must lie after the first of 8 keys"):
        row_features(rows(0, 8), span)
    with pytest.raises(ValueError, match=r"span: .* must lie after the first of 8 keys"):
        span_mass_above_control(rows(0, 8), span)
