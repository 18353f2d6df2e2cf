"""standardized_ratio: its level in simulation, known cases, and what it refuses instead of reporting infinity."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analysis.sample import DegenerateSample
from harness.analysis.standardized import standardized_ratio, standardized_shift

DOMAINS = np.repeat(np.arange(16), 6)
OTHER_DOMAINS = np.repeat(np.arange(10), 4)


def shifted(rng: np.random.Generator, mean: float, domains: np.ndarray) -> np.ndarray:
    """Scenarios with that mean and a standard deviation of 1, a tenth of the variance shared by a domain."""
    shared = rng.normal(size=domains.max() + 1)[domains]
    return np.asarray(mean + np.sqrt(0.1) * shared + np.sqrt(0.9) * rng.normal(size=len(domains)))


@pytest.mark.parametrize(("above", "below"), [(0.8, 1.0), (1.5, 1.5), (0.0, 1.2)])
def test_covers_the_true_ratio(above: float, below: float) -> None:
    rng = np.random.default_rng(4)
    repeats = 400
    covered = []
    for _ in range(repeats):
        with contextlib.suppress(DegenerateSample):
            estimate = standardized_ratio(
                shifted(rng, above, DOMAINS), shifted(rng, below, OTHER_DOMAINS), DOMAINS, OTHER_DOMAINS, 0.05, rng, resamples=1000
            )
            covered.append(estimate.low < above / below < estimate.high)
    assert len(covered) > 0.98 * repeats  # the others are refused
    assert 0.93 <= np.mean(covered) <= 0.985


def test_does_not_call_equal_shifts_weaker() -> None:
    rng = np.random.default_rng(5)
    wrong = 0
    for _ in range(300):
        with contextlib.suppress(DegenerateSample):
            estimate = standardized_ratio(shifted(rng, 1, DOMAINS), shifted(rng, 1, OTHER_DOMAINS), DOMAINS, OTHER_DOMAINS, 0.05, rng, 500)
            wrong += estimate.high < 1
    assert wrong / 300 < 0.05


def test_sees_a_weaker_shift() -> None:
    rng = np.random.default_rng(6)
    estimate = standardized_ratio(shifted(rng, 0.3, DOMAINS), shifted(rng, 2, OTHER_DOMAINS), DOMAINS, OTHER_DOMAINS, 0.05, rng)
    assert estimate.high < 0.8
    assert (estimate.n, estimate.clusters) == (96, 16)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.01, 100), st.floats(0.01, 100))
def test_units_do_not_matter(seed: int, one: float, other: float) -> None:
    rng = np.random.default_rng(seed)
    above, below = shifted(rng, 1, DOMAINS), shifted(rng, 2, OTHER_DOMAINS)
    plain = standardized_ratio(above, below, DOMAINS, OTHER_DOMAINS, 0.01, np.random.default_rng(1), 500)
    scaled = standardized_ratio(one * above, other * below, DOMAINS, OTHER_DOMAINS, 0.01, np.random.default_rng(1), 500)
    assert (scaled.low, scaled.value, scaled.high_alpha) == pytest.approx((plain.low, plain.value, plain.high_alpha))


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10_000), st.floats(-0.5, 2), st.integers(2, 12), st.integers(2, 12), st.sampled_from([0.002, 0.05]))
def test_finite_and_ordered_or_refused(seed: int, mean: float, few: int, many: int, alpha: float) -> None:
    rng = np.random.default_rng(seed)
    try:
        estimate = standardized_ratio(rng.normal(size=few), mean + rng.normal(size=many), None, None, alpha, rng, 400)
    except DegenerateSample:
        return
    ends = (estimate.low_alpha, estimate.low, estimate.value, estimate.high, estimate.high_alpha)
    assert np.isfinite(ends).all()
    assert list(ends) == sorted(ends)


def test_a_denominator_that_may_not_be_positive_is_refused_with_the_reason() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(DegenerateSample, match=r"denominator .* not shown to be positive: its interval at 0\.05 reaches to -"):
        standardized_ratio(shifted(rng, 1, DOMAINS), shifted(rng, 0.1, OTHER_DOMAINS), DOMAINS, OTHER_DOMAINS, 0.05, rng)


def test_no_interval_runs_off_because_a_few_resampled_denominators_are_nearly_0() -> None:
    rng, widest, given = np.random.default_rng(7), 0.0, 0
    for mean in np.linspace(0.1, 1, 120):
        try:
            found = standardized_ratio(
                shifted(rng, 1, DOMAINS), shifted(rng, float(mean), OTHER_DOMAINS), DOMAINS, OTHER_DOMAINS, 0.05, rng, 1000
            )
        except DegenerateSample:
            continue
        given, widest = given + 1, max(widest, found.high / found.value)
    assert given > 40
    assert widest < 30  # thousands where one in forty resamples may lie at or below 0


@pytest.mark.parametrize("which", ["numerator", "denominator"])
def test_no_variance_is_refused_with_the_reason(which: str) -> None:
    samples = {"numerator": np.arange(1.0, 7.0), "denominator": np.arange(1.0, 7.0), which: np.full(6, 0.2)}
    with pytest.raises(DegenerateSample, match=f"no variance: all 6 scenarios of the {which} moved by 0.2"):
        standardized_ratio(samples["numerator"], samples["denominator"], None, None, 0.05, np.random.default_rng(0))


def test_standardized_shift_is_mean_over_deviation() -> None:
    assert standardized_shift([1.0, 2.0, 3.0]) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("above", "below", "named"), [([1.0, np.nan], [1.0, 2.0], "numerator"), ([1.0, 2.0], [np.inf, 1.0], "denominator")]
)
def test_refuses_by_name(above: list[float], below: list[float], named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named}: "):
        standardized_ratio(above, below, None, None, 0.05, np.random.default_rng(0))
