"""mean_interval: coverage at the shipped sizes, equivariance, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.analysis.intervals import mean_interval
from harness.analysis.sample import DegenerateSample

SIZES = {"32x7": (32, 7), "18x7": (18, 7), "10x7": (10, 7), "60": (60, 1)}
SHAPES = {"normal": lambda rng, shape: rng.normal(size=shape), "skewed": lambda rng, shape: rng.exponential(size=shape) - 1}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", SIZES)
def test_nominal_95_percent_covers_95_percent(size: str, shape: str) -> None:
    rng = np.random.default_rng(11)
    count, each = SIZES[size]
    domains = np.repeat(np.arange(count), each)
    repeats = 500
    covered = 0
    for _ in range(repeats):
        values = np.sqrt(0.2) * SHAPES[shape](rng, count)[domains] + np.sqrt(0.8) * SHAPES[shape](rng, count * each)
        estimate = mean_interval(values, domains, 0.05, rng, resamples=1000)
        covered += estimate.low < 0 < estimate.high
    assert 0.93 <= covered / repeats <= 0.97


def test_ignoring_domains_would_be_too_narrow() -> None:
    rng = np.random.default_rng(0)
    domains = np.repeat(np.arange(18), 7)
    values = rng.normal(size=18)[domains] + 0.1 * rng.normal(size=126)
    clustered, independent = (mean_interval(values, labels, 0.05, rng) for labels in (domains, None))
    assert clustered.high - clustered.low > 2 * (independent.high - independent.low)
    assert (clustered.n, clustered.clusters, independent.clusters) == (126, 18, 126)


def test_large_normal_samples_agree_with_students_t() -> None:
    values = np.random.default_rng(0).normal(size=300)
    estimate = mean_interval(values, None, 0.002, np.random.default_rng(1), resamples=20_000)
    for low, high, level in ((estimate.low, estimate.high, 0.95), (estimate.low_alpha, estimate.high_alpha, 0.998)):
        expected = stats.t.interval(level, 299, loc=values.mean(), scale=stats.sem(values))
        assert (low, high) == pytest.approx(expected, abs=0.1 * stats.sem(values) * 3)


def test_never_narrower_than_students_t() -> None:
    values = np.random.default_rng(0).standard_t(3, size=40)
    estimate = mean_interval(values, None, 0.01, np.random.default_rng(1))
    low, high = stats.t.interval(0.95, 39, loc=values.mean(), scale=stats.sem(values))
    assert estimate.low <= low + 1e-12
    assert estimate.high >= high - 1e-12


def test_a_skewed_sample_reaches_further_toward_its_long_tail() -> None:
    estimate = mean_interval(np.random.default_rng(0).exponential(size=60), None, 0.002, np.random.default_rng(1))
    assert estimate.high - estimate.value > estimate.value - estimate.low
    assert estimate.high_alpha - estimate.value > 1.5 * (estimate.high - estimate.value)


def test_few_scenarios_that_moved_give_a_finite_interval() -> None:
    estimate = mean_interval([1.0, *[0.0] * 59], None, 0.002, np.random.default_rng(0))
    assert np.isfinite([estimate.low_alpha, estimate.high_alpha]).all()
    assert estimate.high > 0.08  # exact binomial upper bound of 1 in 60: .089


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(-50, 50), min_size=3, max_size=30).filter(lambda v: len(set(v)) > 1), st.integers(-9, 9), st.integers(1, 9))
def test_shift_and_scale_carry_over(values: list[int], shift: int, scale: int) -> None:
    array = np.array(values, dtype=float)
    one = mean_interval(array, None, 0.01, np.random.default_rng(5), resamples=1000)
    other = mean_interval(scale * array + shift, None, 0.01, np.random.default_rng(5), resamples=1000)
    for field in ("value", "low", "high", "low_alpha", "high_alpha"):
        assert getattr(other, field) == pytest.approx(scale * getattr(one, field) + shift, abs=1e-6)
    assert one.low_alpha <= one.low <= one.value <= one.high <= one.high_alpha


def test_equal_alpha_gives_equal_intervals() -> None:
    estimate = mean_interval([1.0, 2.0, 4.0, 3.0], None, 0.05, np.random.default_rng(0))
    assert (estimate.low, estimate.high) == (estimate.low_alpha, estimate.high_alpha)


@pytest.mark.parametrize("values", [[0.0] * 6, [0.3] * 6, [1.0, 3.0, 1.0, 3.0, 1.0, 3.0]])
def test_no_variance_is_refused_with_the_reason(values: list[float]) -> None:
    with pytest.raises(DegenerateSample, match="no variance: the mean is"):
        mean_interval(values, ["a", "a", "b", "b", "c", "c"], 0.05, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("values", "clusters", "named"),
    [
        ([1.0, np.nan], None, "values"),
        ([], None, "values"),
        ([1.0], None, "values"),
        ([1.0, 2.0], ["a"], "clusters"),
        ([1.0, 2.0], ["a", "a"], "clusters"),
    ],
)
def test_refuses_by_name(values: list[float], clusters: list[str] | None, named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named}: "):
        mean_interval(values, clusters, 0.05, np.random.default_rng(0))
