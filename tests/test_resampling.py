"""How often clusters are drawn, the stretch for few of them, and seeds and clusters drawn together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.resampling import few_clusters, times_drawn, two_way_draws
from harness.analysis.sample import cluster


def test_rows_share_their_resamples() -> None:
    values = np.random.default_rng(0).normal(size=(1, 3, 12))
    draws = two_way_draws(np.concatenate([values, 2 * values + 1]), cluster(np.repeat(np.arange(4), 3), 12), np.random.default_rng(1), 200)
    assert draws.shape == (2, 200)
    assert draws[1] == pytest.approx(2 * draws[0] + 1)


def test_a_constant_stays_constant() -> None:
    assert two_way_draws(np.full((1, 3, 5), 0.7), cluster(["a", "a", "a", "b", "c"], 5), np.random.default_rng(0), 50) == pytest.approx(0.7)


def test_variance_is_that_of_both_ways() -> None:
    rng = np.random.default_rng(0)
    by_seed, by_scenario = rng.normal(size=6), rng.normal(size=50)
    draws = two_way_draws((by_seed[:, np.newaxis] + by_scenario)[np.newaxis], cluster(None, 50), rng, 20_000)
    assert draws.var() == pytest.approx(by_seed.var() / 6 + by_scenario.var() / 50, rel=0.05)


@given(st.integers(1, 30), st.integers(0, 10_000))
def test_every_resample_draws_as_many_as_there_are(count: int, seed: int) -> None:
    drawn = times_drawn(count, np.random.default_rng(seed), 20)
    assert drawn.shape == (20, count) and (drawn >= 0).all() and (drawn.sum(axis=1) == count).all()


@given(st.integers(2, 200), st.floats(0.0001, 0.5))
def test_the_stretch_falls_to_one_with_more_clusters(count: int, level: float) -> None:
    assert few_clusters(count, level) > few_clusters(count + 1, level) > 1
    assert few_clusters(100_000, level) == pytest.approx(1, abs=1e-3)
