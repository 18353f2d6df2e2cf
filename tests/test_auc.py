from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from harness.analysis.auc import auc, auc_difference, auc_gain
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


def test_the_difference_is_that_of_the_gains_and_none_against_itself() -> None:
    rng = np.random.default_rng(4)
    healthy, degraded = rng.normal(size=(6, 64)), rng.normal(size=(6, 64))
    sharper = degraded.copy()
    sharper[0] += 2
    gain = auc_difference((sharper, healthy), (degraded, healthy), DOMAINS, 0.05, rng)
    (after, _), (before, _) = (auc_gain(each, healthy, DOMAINS, 0.05, rng) for each in (sharper, degraded))
    assert gain.value == pytest.approx(after.value - before.value) and gain.low > 0
    with pytest.raises(DegenerateSample, match="no variance"):
        auc_difference((degraded, healthy), (degraded, healthy), DOMAINS, 0.05, rng)


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
