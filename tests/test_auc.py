from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from harness.analysis.auc import auc, auc_gain, auc_gain_by_scenario
from harness.analysis.sample import DegenerateSample

DOMAINS = np.repeat(np.arange(16), 4)


def test_auc_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    above, below = rng.integers(0, 6, 40), rng.integers(0, 4, 30)
    assert auc(above, below) == pytest.approx(roc_auc_score([1] * 40 + [0] * 30, np.r_[above, below]))


def test_a_pattern_that_rises_gains_over_placebos_that_do_not() -> None:
    rng = np.random.default_rng(1)
    healthy, degraded = rng.normal(size=(6, 64)), rng.normal(size=(6, 64))
    degraded[0] += 1.5
    gain, areas = auc_gain(degraded, healthy, DOMAINS, 0.05, rng)
    assert gain.low > 0.15 and areas[0] == pytest.approx(auc(degraded[0], healthy[0]))
    assert gain.value == pytest.approx(areas[0] - areas[1:].mean())


def test_what_all_patterns_share_is_no_gain() -> None:
    rng = np.random.default_rng(2)
    healthy, degraded = rng.normal(size=(6, 64)), rng.normal(size=(6, 64)) + 2
    gain, _ = auc_gain(degraded, healthy, DOMAINS, 0.05, rng)
    assert gain.low < 0 < gain.high


@pytest.mark.parametrize("shared", [0.0, 1.0])
def test_the_interval_covers_no_gain_where_there_is_none(shared: float) -> None:
    """Coverage over 300 simulated studies of 64 scenarios in 16 domains, with and without domain effects: 95 % nominal."""
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(300):
        domain = shared * rng.normal(size=(6, 16))[:, DOMAINS]
        healthy, degraded = domain + rng.normal(size=(6, 64)), domain + rng.normal(size=(6, 64))
        gain, _ = auc_gain(degraded, healthy, DOMAINS, 0.05, rng, resamples=400)
        covered += gain.low <= 0 <= gain.high
    assert covered / 300 >= 0.93


def test_contributions_by_scenario_average_to_the_gain_and_spread_as_it_does() -> None:
    """The gain itself, and a standard error over scenarios like that of resampling them."""
    rng = np.random.default_rng(8)
    healthy = rng.standard_normal((4, 300))
    degraded = rng.standard_normal((4, 300)) + np.array([[0.8], [0.1], [0.0], [-0.1]])
    each = auc_gain_by_scenario(degraded, healthy)
    gain, areas = auc_gain(degraded, healthy, None, 0.05, rng)
    assert each.shape == (300,) and each.mean() == pytest.approx(gain.value) == pytest.approx(areas[0] - areas[1:].mean())
    assert each.std(ddof=1) / np.sqrt(300) == pytest.approx((gain.high - gain.low) / 2 / 1.96, rel=0.1)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="healthy: shape"):
        auc_gain(np.zeros((2, 8)), np.zeros((3, 8)), None, 0.05, np.random.default_rng(0))
    with pytest.raises(DegenerateSample, match="no variance"):
        auc_gain(np.ones((2, 8)), np.ones((2, 8)), None, 0.05, np.random.default_rng(0))


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=12), st.lists(st.integers(-3, 3), min_size=1, max_size=12))
def test_auc_turns_around_with_the_samples_and_only_order_matters(degraded: list[int], healthy: list[int]) -> None:
    area = auc(degraded, healthy)
    assert 0 <= area <= 1 and auc(healthy, degraded) == pytest.approx(1 - area)
    assert auc(np.exp(degraded), np.exp(healthy)) == pytest.approx(area)
