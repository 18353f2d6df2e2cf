from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from harness.analysis.beta_binomial import BetaBinomial
from harness.analysis.label_auc import ceiling, label_auc
from harness.analysis.sample import DegenerateSample
from harness.data.measurement import Estimate


def rolled(chances: np.ndarray, rollouts: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((len(chances), rollouts)) < chances[:, np.newaxis]


LEVELS = np.repeat([0.0, 1.0, 2.0], 34)[:100]


def test_a_label_that_knows_is_found_and_a_permuted_one_is_not() -> None:
    rng = np.random.default_rng(0)
    failures = rolled(np.array([0.1, 0.5, 0.9])[LEVELS.astype(int)], 8, 1).sum(axis=1)
    assert label_auc(LEVELS, failures, 8, None, 0.05, rng).low > 0.8
    permuted = label_auc(rng.permutation(LEVELS), failures, 8, None, 0.05, rng)
    assert permuted.low < 0.5 < permuted.high < 0.65


def test_with_one_rollout_it_is_the_ordinary_auc() -> None:
    failures = rolled(np.array([0.2, 0.4, 0.7])[LEVELS.astype(int)], 1, 2).sum(axis=1)
    found = label_auc(LEVELS, failures, 1, None, 0.05, np.random.default_rng(0))
    assert found.value == pytest.approx(roc_auc_score(failures, LEVELS))


def test_the_interval_covers_one_half_where_labels_say_nothing() -> None:
    """Coverage over 200 simulated sets whose scenarios differ in difficulty, unknown to the label: 95 % nominal."""
    covered = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        failures = rolled(rng.beta(2, 3, size=100), 8, seed).sum(axis=1)
        found = label_auc(rng.permutation(LEVELS), failures, 8, None, 0.05, rng, resamples=400)
        covered += found.low <= 0.5 <= found.high
    assert covered / 200 >= 0.93


def test_the_ceiling_is_high_where_scenarios_differ_and_one_half_where_they_do_not() -> None:
    differ = rolled(np.repeat([0.05, 0.95], 100), 8, 3)
    alike = rolled(np.full(200, 0.4), 8, 4)
    high, half = (ceiling(outcomes, None, 0.05, np.random.default_rng(0)) for outcomes in (differ, alike))
    assert high.low > 0.9 and half.value == pytest.approx(0.5, abs=0.04) and half.low < 0.5 < half.high < 0.6

    certain = ceiling(np.repeat([[0.0], [1.0]], 8, axis=1).repeat(10, axis=0), None, 0.05, np.random.default_rng(0))
    assert certain == Estimate.exact(1.0, 20, 0.05)


def test_the_ceiling_is_the_auc_that_the_failure_probabilities_imply() -> None:
    """Against the exact expectation under the distribution that the scenarios were drawn from, over 60 simulated sets."""
    found = [
        ceiling(rolled(np.random.default_rng(seed).beta(1, 2, size=100), 8, seed), None, 0.05, np.random.default_rng(seed), resamples=400)
        for seed in range(60)
    ]
    expected = BetaBinomial(1, 2).auc(4)
    assert np.mean([each.value for each in found]) == pytest.approx(expected, abs=0.01)
    assert np.mean([each.low <= expected <= each.high for each in found]) >= 0.9


def test_refusals() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(DegenerateSample, match="no rollout failed"):
        label_auc([0, 1, 2], [0, 0, 0], 8, None, 0.05, rng)
    with pytest.raises(DegenerateSample, match="every rollout failed"):
        label_auc([0, 1, 2], [8, 8, 8], 8, None, 0.05, rng)
    with pytest.raises(DegenerateSample, match="no variance: the AUC"):
        label_auc([1, 1, 1, 1], [1, 2, 3, 4], 8, None, 0.05, rng)
    with pytest.raises(ValueError, match="failures: shape"):
        label_auc([0, 1, 2], [1, 2], 8, None, 0.05, rng)
    with pytest.raises(ValueError, match="outcomes: 1 along the last axis, must be at least 2"):
        ceiling(np.zeros((3, 1)), None, 0.05, rng)
    with pytest.raises(DegenerateSample, match="all rollouts failed, or none"):
        ceiling(np.zeros((3, 8)), None, 0.05, rng)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_a_reversed_label_mirrors_the_auc(seed: int) -> None:
    failures = rolled(np.array([0.2, 0.5, 0.8])[LEVELS.astype(int)], 8, seed).sum(axis=1)
    found, reversed_label = (
        label_auc(sign * LEVELS, failures, 8, None, 0.05, np.random.default_rng(seed), resamples=400) for sign in (1, -1)
    )
    assert reversed_label.value == pytest.approx(1 - found.value)
    assert 0 <= found.low <= found.value <= found.high <= 1
