"""Steering vectors: each finds a planted direction, the nulls do not, refusals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.contrast import (
    difference_of_means,
    first_component,
    logistic_probe,
    split_half_cosine,
)
from harness.analysis.sample import DegenerateSample

METHODS = [difference_of_means, first_component, logistic_probe]
PLANTED = np.eye(64)[5]


def _pairs(strength: float, n: int = 20, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Pairs share a topic (large), and differ along PLANTED."""
    rng = np.random.default_rng(seed)
    topic = 5 * rng.normal(size=(n, 64))
    pos, neg = (topic + sign * strength / 2 * PLANTED + 0.3 * rng.normal(size=(n, 64)) for sign in (1, -1))
    return pos, neg


def _cosine(u: np.ndarray, v: np.ndarray) -> float:
    return float(u @ v / np.linalg.norm(u) / np.linalg.norm(v))


@pytest.mark.parametrize("method", METHODS)
def test_finds_the_planted_direction_with_its_sign(method: Callable[..., np.ndarray]) -> None:
    assert _cosine(method(*_pairs(3.0)), PLANTED) > 0.9


@pytest.mark.parametrize("method", METHODS)
def test_swapped_labels_turn_the_vector_around(method: Callable[..., np.ndarray]) -> None:
    pos, neg = _pairs(1.0)
    assert method(neg, pos) == pytest.approx(-method(pos, neg), abs=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_what_a_pair_shares_is_no_feature(method: Callable[..., np.ndarray]) -> None:
    pos, neg = _pairs(1.0)
    shared = np.random.default_rng(3).normal(size=(20, 64))
    assert method(pos + shared, neg + shared) == pytest.approx(method(pos, neg), abs=1e-3)


@given(st.floats(0.1, 100))
def test_the_difference_keeps_units_and_the_rest_has_unit_norm(scale: float) -> None:
    pos, neg = _pairs(1.0)
    assert difference_of_means(scale * pos, scale * neg) == pytest.approx(scale * difference_of_means(pos, neg))
    assert first_component(scale * pos, scale * neg) == pytest.approx(first_component(pos, neg), abs=1e-9)
    assert np.linalg.norm(first_component(pos, neg)) == pytest.approx(1)
    assert np.linalg.norm(logistic_probe(pos, neg)) == pytest.approx(1)


def test_the_probe_does_not_depend_on_the_scale_of_activations() -> None:
    pos, neg = _pairs(1.0)
    assert logistic_probe(1000 * pos, 1000 * neg) == pytest.approx(logistic_probe(pos, neg), abs=1e-3)


def test_a_strongly_regularized_probe_is_the_difference_of_means() -> None:
    pos, neg = _pairs(1.0)
    assert _cosine(logistic_probe(pos, neg, strength=1e5), difference_of_means(pos, neg)) > 0.999


def test_split_halves_agree_on_a_planted_direction_and_not_on_noise() -> None:
    rng = np.random.default_rng(0)
    assert split_half_cosine(*_pairs(3.0), rng) > 0.8
    assert abs(np.mean([split_half_cosine(*_pairs(0.0, seed=seed), rng, splits=5) for seed in range(50)])) < 0.05


def test_split_halves_of_equal_pairs_agree_fully() -> None:
    constant = np.tile(PLANTED, (7, 1))
    assert split_half_cosine(constant, -constant, np.random.default_rng(0)) == pytest.approx(1)


@pytest.mark.parametrize("method", [first_component, logistic_probe])
def test_equal_activations_have_no_direction(method: Callable[..., np.ndarray]) -> None:
    with pytest.raises(DegenerateSample, match="pos and neg are equal"):
        method(np.ones((4, 3)), np.ones((4, 3)))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("pos", "neg", "named"),
    [
        (np.ones((3, 2)), np.ones((4, 2)), "neg: shape"),
        (np.full((3, 2), np.nan), np.ones((3, 2)), "pos: 6"),
        (np.ones((1, 2)), np.ones((1, 2)), "pos: one pair"),
        (np.ones((0, 2)), np.ones((0, 2)), "pos: is empty"),
    ],
)
def test_refuses_by_name(method: Callable[..., np.ndarray], pos: np.ndarray, neg: np.ndarray, named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named}"):
        method(pos, neg)


def test_refuses_settings_that_mean_nothing() -> None:
    with pytest.raises(ValueError, match=r"^strength: "):
        logistic_probe(*_pairs(1.0), strength=0)
    with pytest.raises(ValueError, match=r"^splits: "):
        split_half_cosine(*_pairs(1.0), np.random.default_rng(0), splits=0)
