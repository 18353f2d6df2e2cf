"""replicated_interval: coverage where seeds vary, the floor below 8 seeds, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.analysis.intervals import mean_interval
from harness.analysis.replicates import replicated_interval, replicated_intervals
from harness.analysis.sample import DegenerateSample

DOMAINS = np.repeat(np.arange(10), 7)


def _sample(rng: np.random.Generator, seeds: int, seed_spread: float) -> np.ndarray:
    """True mean 0; scenarios vary by 1, a fifth of that variance between domains; seeds by `seed_spread`; the rest by .5."""
    scenarios = 0.45 * rng.normal(size=10)[DOMAINS] + 0.9 * rng.normal(size=70)
    return seed_spread * rng.normal(size=(seeds, 1)) + scenarios + 0.5 * rng.normal(size=(seeds, 70))


@pytest.mark.parametrize("seed_spread", [0.0, 0.5])
@pytest.mark.parametrize("seeds", [3, 5, 8])
def test_covers_what_the_plain_two_way_bootstrap_misses(seeds: int, seed_spread: float) -> None:
    rng = np.random.default_rng(3)
    repeats = 300
    estimates = [replicated_interval(_sample(rng, seeds, seed_spread), DOMAINS, 0.05, rng, resamples=1000) for _ in range(repeats)]
    covered = sum(estimate.low < 0 < estimate.high for estimate in estimates)
    assert 0.92 <= covered / repeats <= 0.985  # standard error .013; the plain bootstrap: .84 with 3 seeds


def test_never_narrower_than_t_over_seed_means_below_eight_seeds() -> None:
    values = _sample(np.random.default_rng(0), 3, 2.0)
    estimate = replicated_interval(values, DOMAINS, 0.05, np.random.default_rng(1))
    low, high = stats.t.interval(0.95, 2, loc=values.mean(), scale=stats.sem(values.mean(axis=1)))
    assert estimate.low <= low + 1e-12
    assert estimate.high >= high - 1e-12


def test_identical_behavior_of_many_seeds_is_the_interval_over_scenarios() -> None:
    rng = np.random.default_rng(0)
    scenarios = rng.normal(size=70)
    values = scenarios + 1e-3 * rng.normal(size=(8, 70))
    replicated = replicated_interval(values, DOMAINS, 0.05, np.random.default_rng(1), resamples=20_000)
    plain = mean_interval(scenarios, DOMAINS, 0.05, np.random.default_rng(1))
    assert replicated.high - replicated.low == pytest.approx(plain.high - plain.low, rel=0.15)


@pytest.mark.parametrize(
    ("seeds", "seed_spread", "source"),
    [
        (8, 1.0, "seeds"),
        (8, 0.05, "scenarios"),
        (3, 0.05, "scenarios"),
        (3, 0.3, "seeds"),  # about as much as scenarios bring, but with 3 seeds t is 4.3
    ],
)
def test_it_says_whether_seeds_or_scenarios_set_its_width(seeds: int, seed_spread: float, source: str) -> None:
    rng = np.random.default_rng(5)
    found = [replicated_interval(_sample(rng, seeds, seed_spread), DOMAINS, 0.05, rng, resamples=1000).limited_by for _ in range(20)]
    assert found.count(source) >= 14  # type: ignore[arg-type]  # a source


def test_rows_together_equal_rows_alone() -> None:
    values = np.stack([_sample(np.random.default_rng(i), 4, 0.3) for i in range(3)])
    together = replicated_intervals(values, DOMAINS, 0.01, np.random.default_rng(9))
    assert together == tuple(replicated_interval(row, DOMAINS, 0.01, np.random.default_rng(9)) for row in values)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 9), st.floats(-5, 5), st.floats(0.1, 10))
def test_shift_and_scale_carry_over(seed: int, seeds: int, shift: float, scale: float) -> None:
    values = _sample(np.random.default_rng(seed), seeds, 0.3)
    one = replicated_interval(values, DOMAINS, 0.01, np.random.default_rng(5), resamples=1000)
    other = replicated_interval(scale * values + shift, DOMAINS, 0.01, np.random.default_rng(5), resamples=1000)
    for field in ("value", "low", "high", "low_alpha", "high_alpha"):
        assert getattr(other, field) == pytest.approx(scale * getattr(one, field) + shift, abs=1e-8)
    assert one.low_alpha <= one.low <= one.value <= one.high <= one.high_alpha


def test_copies_of_one_training_are_no_replicates() -> None:
    with pytest.raises(DegenerateSample, match="no variance between seeds: all 3"):
        replicated_interval(np.tile(np.arange(70.0), (3, 1)), DOMAINS, 0.05, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("values", "clusters", "named"),
    [
        (np.ones((1, 70)), DOMAINS, "values: one seed"),
        (np.ones(70), DOMAINS, "values: has 1 axes"),
        (np.full((3, 70), np.nan), DOMAINS, "values: 210"),
        (np.ones((3, 70)), DOMAINS[:3], "clusters"),
    ],
)
def test_refuses_by_name(values: np.ndarray, clusters: np.ndarray, named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named}"):
        replicated_interval(values, clusters, 0.05, np.random.default_rng(0))
