"""Jensen–Shannon and Euclidean distance: bounds, symmetry, agreement with scipy, masks, length."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import distance

from harness.analysis.divergence import euclidean, jensen_shannon


def _rows(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(shape[-1], 0.3), size=shape[:-1])


@given(st.integers(0, 10_000), st.integers(2, 30))
def test_agrees_with_scipy(seed: int, keys: int) -> None:
    p, q = _rows(seed, 2, keys)
    assert jensen_shannon(p, q) == pytest.approx(distance.jensenshannon(p, q, base=2), abs=1e-7)
    assert euclidean(p, q) == pytest.approx(distance.euclidean(p, q))


@given(st.integers(0, 10_000))
def test_is_a_metric(seed: int) -> None:
    p, q, r = _rows(seed, 3, 8)
    for apart in (jensen_shannon, euclidean):
        assert apart(p, q) == pytest.approx(apart(q, p))
        assert apart(p, p) == pytest.approx(0, abs=1e-7)
        assert apart(p, r) <= apart(p, q) + apart(q, r) + 1e-9


def test_disjoint_rows_are_as_far_as_can_be() -> None:
    p, q = np.eye(4)[:2]
    assert jensen_shannon(p, q) == pytest.approx(1)
    assert euclidean(p, q) == pytest.approx(np.sqrt(2))


def test_batches_keep_their_axes() -> None:
    p, q = _rows(0, 2, 5, 3, 7), _rows(1, 2, 5, 3, 7)
    assert jensen_shannon(p, q).shape == (2, 5, 3)
    assert jensen_shannon(p, q)[1, 2, 0] == pytest.approx(jensen_shannon(p[1, 2, 0], q[1, 2, 0]))


def test_splitting_every_key_in_two_changes_neither_when_length_normalized() -> None:
    p, q = _rows(3, 2, 9)
    longer_p, longer_q = np.repeat(p, 2) / 2, np.repeat(q, 2) / 2
    assert jensen_shannon(longer_p, longer_q) == pytest.approx(jensen_shannon(p, q))
    assert euclidean(longer_p, longer_q, length_normalized=True) == pytest.approx(euclidean(p, q, length_normalized=True))
    assert euclidean(longer_p, longer_q) == pytest.approx(euclidean(p, q) / np.sqrt(2))


def test_a_masked_sink_leaves_the_rest_renormalized() -> None:
    p, q = np.array([0.5, 0.25, 0.25]), np.array([0.9, 0.05, 0.05])
    keep = np.array([False, True, True])
    assert jensen_shannon(p, q) > 0.1
    assert jensen_shannon(p, q, keep) == pytest.approx(0, abs=1e-7)
    assert euclidean(p, q, keep, length_normalized=True) == pytest.approx(0, abs=1e-12)


def test_masked_padding_is_as_if_it_were_not_there() -> None:
    p, q = _rows(5, 2, 6)
    padded_p, padded_q = np.append(p, [0, 0]), np.append(q, [0, 0])
    keep = np.arange(8) < 6
    for normalized in (False, True):
        whole = euclidean(p, q, length_normalized=normalized)
        assert euclidean(padded_p, padded_q, keep, length_normalized=normalized) == pytest.approx(whole)


@pytest.mark.parametrize(
    ("p", "q", "mask", "named"),
    [
        ([0.5, np.nan], [0.5, 0.5], None, "p: 1 of 2"),
        ([0.5, 0.6], [0.5, 0.5], None, "p: rows sum to"),
        ([1.5, -0.5], [0.5, 0.5], None, "p: has negative"),
        ([0.5, 0.5], [1.0], None, "q: shape"),
        ([], [], None, "p: is empty"),
        ([0.5, 0.5], [1.0, 0.0], [False, True], "mask: drops all weight of 1 rows of q"),
        ([0.5, 0.5], [1.0, 0.0], [1, 0], "mask: holds"),
        ([0.5, 0.5], [1.0, 0.0], [True, True, True], "mask: shape"),
    ],
)
def test_refuses_by_name(p: list[float], q: list[float], mask: list[bool] | None, named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named}"):
        jensen_shannon(p, q, mask)
