"""find_onset: the fixed sequence from the largest number of examples down, and the training mode it carries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analysis.onset import Onset, find_onset

NS = (1, 5, 10, 20, 50)
DOMAINS = np.repeat(np.arange(10), 7)


def _find(means: tuple[float, ...], rng: np.random.Generator, ns: tuple[int, ...] = NS, seeds: int = 4) -> Onset:
    noise = 0.03 * rng.normal(size=(5, seeds, 1)) + 0.1 * rng.normal(size=10)[DOMAINS] + 0.2 * rng.normal(size=(5, seeds, 70))
    return find_onset(ns, np.array(means)[:, np.newaxis, np.newaxis] + noise, DOMAINS, rng, resamples=1000)


@pytest.mark.parametrize(
    ("means", "n", "mode"),
    [
        ((0.5, 0.5, 0.5, 0.5, 0.5), 1, "continuous"),
        ((-0.2, 0.5, 0.5, 0.5, 0.5), 5, "continuous"),
        ((-0.2, -0.2, 0.5, 0.5, 0.5), 10, "batched"),
        ((-0.2, -0.2, -0.2, -0.2, 0.5), 50, "batched"),
        ((-0.2, -0.2, -0.2, -0.2, -0.2), None, "nightly"),
    ],
)
def test_finds_the_smallest_number_shown(means: tuple[float, ...], n: int | None, mode: str) -> None:
    onset = _find(means, np.random.default_rng(0))
    assert (onset.n, onset.mode) == (n, mode)


def test_stops_at_the_first_not_shown() -> None:
    assert _find((0.5, 0.5, -0.2, 0.5, 0.5), np.random.default_rng(0)).n == 20


def test_an_effect_only_at_few_examples_is_no_onset() -> None:
    assert _find((0.5, 0.5, 0.5, 0.5, -0.2), np.random.default_rng(0)).n is None


def test_more_than_fifty_is_nightly() -> None:
    assert _find((-0.2, -0.2, -0.2, -0.2, 0.5), np.random.default_rng(0), ns=(1, 5, 10, 50, 200)).mode == "nightly"


@pytest.mark.parametrize("seeds", [3, 8])
def test_noise_has_an_onset_as_rarely_as_one_test_allows(seeds: int) -> None:
    rng = np.random.default_rng(2)
    found = sum(_find((0.0,) * 5, rng, seeds=seeds).n is not None for _ in range(200))
    assert found <= 12  # 2.5 % expected, whatever the number of points


def test_effects_are_in_the_order_of_the_numbers() -> None:
    onset = _find((0.1, 0.2, 0.3, 0.4, 0.5), np.random.default_rng(0))
    assert [estimate.value for estimate in onset.effects] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5], abs=0.15)


def test_refuses_by_name() -> None:
    with pytest.raises(ValueError, match=r"^ns: "):
        find_onset((1, 5), np.ones((3, 3, 70)), DOMAINS, np.random.default_rng(0))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.001, 1000))
def test_the_unit_of_the_effects_does_not_matter(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    effects = np.linspace(-0.2, 0.4, 5)[:, np.newaxis, np.newaxis] + 0.3 * rng.normal(size=(5, 4, 70))
    found, scaled = (find_onset(NS, factor * effects, DOMAINS, np.random.default_rng(seed), resamples=1000) for factor in (1.0, scale))
    assert (found.n, found.mode) == (scaled.n, scaled.mode)
