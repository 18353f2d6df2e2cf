"""ratio_interval: Fieller's level, paired and independent, and the refusal of an uncertain denominator."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from harness.analysis.intervals import mean_interval
from harness.analysis.ratios import ratio_interval, unshown
from harness.analysis.sample import DegenerateSample

DOMAINS = np.repeat(np.arange(10), 7)


@pytest.mark.parametrize("independent", [False, True])
def test_covers_the_true_ratio(independent: bool) -> None:
    rng = np.random.default_rng(4)
    repeats = 600
    covered = 0
    for _ in range(repeats):
        numerator = 0.2 + 0.3 * rng.normal(size=10)[DOMAINS] + 0.6 * rng.normal(size=70)
        denominator = 1 + (0 if independent else 0.5) * numerator + 0.3 * rng.normal(size=10)[DOMAINS] + 0.6 * rng.normal(size=70)
        truth = 0.2 if independent else 0.2 / 1.1
        estimate = ratio_interval(
            numerator,
            denominator,
            DOMAINS,
            0.05,
            independent=independent,
            denominator_clusters=DOMAINS if independent else None,
        )
        covered += estimate.low < truth < estimate.high
    assert 0.93 <= covered / repeats <= 0.97


def test_a_denominator_known_well_leaves_the_interval_of_the_numerator() -> None:
    rng = np.random.default_rng(0)
    numerator = rng.normal(size=60)
    estimate = ratio_interval(numerator, 2 + 1e-6 * rng.normal(size=60), None, 0.05)
    plain = mean_interval(numerator, None, 0.05, rng)
    assert 2 * estimate.value == pytest.approx(plain.value, rel=1e-4)
    assert 2 * (estimate.high - estimate.low) == pytest.approx(plain.high - plain.low, rel=0.1)


def test_a_proportional_numerator_has_that_ratio_exactly() -> None:
    denominator = 1 + 0.1 * np.random.default_rng(0).normal(size=30)
    estimate = ratio_interval(0.4 * denominator, denominator, None, 0.01)
    assert (estimate.low_alpha, estimate.value, estimate.high_alpha) == pytest.approx((0.4, 0.4, 0.4), abs=1e-6)


def test_other_scenarios_may_differ_in_number() -> None:
    rng = np.random.default_rng(0)
    estimate = ratio_interval(rng.normal(size=70), 3 + rng.normal(size=18), DOMAINS, 0.05, independent=True)
    assert (estimate.n, estimate.clusters) == (70, 10)
    assert estimate.low < estimate.value < estimate.high


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 10), st.sampled_from([-1.0, 1.0]))
def test_scale_carries_over_and_sign_reverses(seed: int, scale: float, sign: float) -> None:
    rng = np.random.default_rng(seed)
    numerator, denominator = rng.normal(size=20), 3 + rng.normal(size=20)
    one = ratio_interval(numerator, denominator, None, 0.05)
    other = ratio_interval(sign * scale * numerator, denominator, None, 0.05)
    assert sorted([other.low, other.high]) == pytest.approx(sorted([sign * scale * one.low, sign * scale * one.high]), rel=1e-6, abs=1e-9)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000), st.floats(-1, 3), st.integers(2, 6), st.integers(2, 40), st.sampled_from([0.002, 0.05]))
def test_bounded_and_ordered_or_refused(seed: int, mean: float, few: int, many: int, alpha: float) -> None:
    rng = np.random.default_rng(seed)
    try:
        estimate = ratio_interval(rng.normal(size=few), mean + 0.3 * rng.normal(size=many), None, alpha, independent=True)
    except DegenerateSample:
        assume(False)
    assert estimate.low_alpha <= estimate.low <= estimate.value <= estimate.high <= estimate.high_alpha


def test_a_denominator_that_may_be_zero_is_refused_with_the_reason() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(DegenerateSample, match=r"denominator .* is not shown to differ from 0"):
        ratio_interval(rng.normal(size=40), 0.01 + rng.normal(size=40), None, 0.05)


def test_no_variance_is_refused_with_the_reason() -> None:
    with pytest.raises(DegenerateSample, match="no variance: the numerator"):
        ratio_interval(np.zeros(4), np.arange(1.0, 5.0), None, 0.05)


@pytest.mark.parametrize(
    ("numerator", "denominator", "named"),
    [([1.0, np.nan], [1.0, 2.0], "numerator"), ([1.0, 2.0], [1.0, np.inf], "denominator"), ([1.0, 2.0], [1.0, 2.0, 3.0], "denominator")],
)
def test_refuses_by_name(numerator: list[float], denominator: list[float], named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named}: "):
        ratio_interval(numerator, denominator, None, 0.05)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.floats(-1, 1), st.sampled_from([0.01, 0.05]))
def test_a_ratio_without_an_interval_is_shown_where_one_with_an_interval_is(seed: int, mean: float, level: float) -> None:
    rng = np.random.default_rng(seed)
    numerator, denominator = rng.normal(size=70), mean + rng.normal(size=70)
    reason = unshown(denominator, DOMAINS, level)
    try:
        ratio_interval(numerator, denominator, DOMAINS, level, level=level)
    except DegenerateSample as degenerate:
        assert reason is not None and degenerate.reason.startswith(reason)
    else:
        assert reason is None


def test_why_a_denominator_carries_no_ratio() -> None:
    assert unshown(np.array([1.0, -1.0, 2.0, -2.0]), None) == "the denominator (0) is not shown to differ from 0 at 0.05"
    assert unshown(np.array([1.0, 1.1, 1.2, 0.9]), None) is None
