from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats
from sklearn.metrics import roc_auc_score

from harness.analysis.beta_binomial import BetaBinomial, fit, overdispersion, share_within
from harness.analysis.sample import DegenerateSample
from harness.data.measurement import Estimate


def simulated(a: float, b: float, n: int, rollouts: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.binomial(rollouts, rng.beta(a, b, size=n))


@pytest.mark.parametrize(("a", "b"), [(2.0, 5.0), (0.3, 0.3), (12.0, 12.0)])
def test_a_planted_distribution_is_found(a: float, b: float) -> None:
    found = fit(simulated(a, b, 4000, 8), 8)
    assert found.mean == pytest.approx(a / (a + b), abs=0.02)
    assert found.within(0.2, 0.8) == pytest.approx(float(np.diff(stats.beta.cdf([0.2, 0.8], a, b))[0]), abs=0.04)


def test_no_other_maximum_of_the_likelihood_is_much_better() -> None:
    counts = simulated(2, 3, 100, 8, seed=4)
    ours = fit(counts, 8)

    def loss(logs: np.ndarray) -> float:
        return -float(stats.betabinom.logpmf(counts, 8, *np.exp(logs)).sum())

    best = optimize.minimize(loss, np.log([1.0, 1.0]), method="Nelder-Mead")
    assert loss(np.log([ours.a, ours.b])) < best.fun + 0.05


def test_shares_of_eight_rollouts_overstate_the_variance_and_the_fit_does_not() -> None:
    """All scenarios fail with probability .5; by their raw shares a seventh of them look too easy or too hard."""
    counts = np.random.default_rng(1).binomial(8, 0.5, size=400)
    raw = np.mean((counts / 8 >= 0.2) & (counts / 8 <= 0.8))
    assert raw < 0.95 and fit(counts, 8).within(0.2, 0.8) > 0.98


@given(st.lists(st.integers(0, 8), min_size=2, max_size=60))
def test_failing_for_succeeding_mirrors_the_fit(counts: list[int]) -> None:
    one, other = fit(counts, 8), fit([8 - k for k in counts], 8)
    assert one.mean == pytest.approx(1 - other.mean, abs=0.011) and one.within(0.2, 0.8) == pytest.approx(other.within(0.2, 0.8), abs=0.03)


def test_the_interval_covers_the_share_that_was_planted() -> None:
    """Coverage over 200 simulated sets of 100 scenarios and 8 rollouts: 95 % nominal."""
    truth = float(np.diff(stats.beta.cdf([0.2, 0.8], 1.0, 1.5))[0])
    covered = 0
    for seed in range(200):
        found = share_within(simulated(1.0, 1.5, 100, 8, seed), 8, 0.2, 0.8, None, 0.05, np.random.default_rng(seed), resamples=400)
        covered += found.low <= truth <= found.high
    assert covered / 200 >= 0.92


@pytest.mark.parametrize(("a", "b"), [(1.0, 2.0), (0.3, 0.3)])
def test_the_auc_of_a_label_is_that_of_simulated_scenarios(a: float, b: float) -> None:
    rng = np.random.default_rng(0)
    chances = rng.beta(a, b, size=20_000)
    failed = rng.random(chances.shape) < chances
    assert BetaBinomial(a, b).auc() == pytest.approx(roc_auc_score(failed, chances), abs=0.01)
    assert BetaBinomial(a, b).auc(4) == pytest.approx(roc_auc_score(failed, rng.binomial(4, chances)), abs=0.01)


def test_one_rate_has_no_overdispersion_and_a_planted_one_is_found() -> None:
    """1 / (a + b + 1) within the interval in 93 % of 200 simulated sets at least (95 % nominal); of one rate, above 0 in 5 % at most."""
    covered, above = 0, 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        found = overdispersion(simulated(2, 3, 100, 8, seed), 8, None, 0.05, rng, resamples=400)
        covered += found.low <= 1 / 6 <= found.high
        above += overdispersion(rng.binomial(8, 0.4, size=100), 8, None, 0.05, rng, resamples=400).low > 0
    assert covered / 200 >= 0.92 and above / 200 <= 0.05


def test_each_failing_always_or_never_is_full_overdispersion() -> None:
    assert overdispersion([0, 8] * 20, 8, None, 0.05, np.random.default_rng(0)) == Estimate.exact(1.0, 40, 0.05)
    nearly = overdispersion([0, 8] * 20 + [1], 8, None, 0.05, np.random.default_rng(0))
    assert 0.9 < nearly.low < nearly.value < 1


def test_refusals() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="from 0 to 9; allowed: 0 to 8"):
        fit([0, 9], 8)
    with pytest.raises(ValueError, match="whole numbers"):
        fit([0.5, 0.25], 8)
    with pytest.raises(DegenerateSample, match="no variance"):
        share_within([0, 0, 0, 0], 8, 0.2, 0.8, None, 0.05, rng)
    with pytest.raises(DegenerateSample, match="no rollout failed"):
        overdispersion([0, 0, 0, 0], 8, None, 0.05, rng)
    with pytest.raises(DegenerateSample, match="every rollout failed"):
        overdispersion([8, 8, 8, 8], 8, None, 0.05, rng)
