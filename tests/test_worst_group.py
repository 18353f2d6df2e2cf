"""The worst of many groups: its interval covers, finds a planted loss in few groups, and calls no noise a loss."""

from __future__ import annotations

import numpy as np
import pytest

from harness.analysis.sample import DegenerateSample
from harness.analysis.worst_group import worst_group

GROUPS, EACH = 32, 7
NAMES = np.repeat([f"g{i}" for i in range(GROUPS)], EACH)


def values(rng: np.random.Generator, lost: dict[str, float] | None = None, tail: int = 30) -> np.ndarray:
    """Scenarios with standard deviation .3 and tails of Student's t, 0 on average but where something is lost."""
    noise = 0.3 * rng.standard_t(tail, GROUPS * EACH) / np.sqrt(tail / (tail - 2))
    return noise - np.array([(lost or {}).get(name, 0.0) for name in NAMES])


@pytest.mark.parametrize("tail", [30, 4])
def test_no_group_is_called_worse_where_none_is(tail: int) -> None:
    rng = np.random.default_rng(3)
    found = [worst_group(values(rng, tail=tail), NAMES, 0.01, rng).estimate for _ in range(200)]
    assert np.mean([one.high < 0 for one in found]) <= 0.05 and np.mean([one.high_alpha < 0 for one in found]) <= 0.02
    assert all(one.low_alpha < one.low < one.value < one.high < one.high_alpha for one in found)


def test_the_lowest_true_mean_is_covered() -> None:
    rng, truth = np.random.default_rng(4), -0.5
    found = [worst_group(values(rng, {"g3": 0.5, "g9": 0.2}), NAMES, 0.01, rng).estimate for _ in range(200)]
    assert np.mean([one.low <= truth <= one.high for one in found]) >= 0.93


def test_a_planted_loss_in_two_groups_is_found_and_named() -> None:
    rng = np.random.default_rng(5)
    found = worst_group(values(rng, {"g3": 2.0, "g9": 1.6}), NAMES, 0.001, rng)
    assert found.estimate.high_alpha < 0 and {name for name, *_ in found.means[:2]} == {"g3", "g9"}
    assert (found.estimate.n, found.estimate.clusters) == (GROUPS * EACH, GROUPS)
    name, mean, low, high = found.means[0]
    assert name == "g3" and (mean, low) == (found.estimate.value, found.estimate.low) and low < -2.0 < high


def test_groups_without_variance_and_broken_values_are_refused() -> None:
    rng = np.random.default_rng(6)
    with pytest.raises(DegenerateSample, match="no variance within groups"):
        worst_group(np.arange(GROUPS, dtype=float), np.arange(GROUPS).astype(str), 0.05, rng)
    with pytest.raises(DegenerateSample, match="no variance within groups"):
        worst_group(np.repeat(np.arange(GROUPS, dtype=float), EACH), NAMES, 0.05, rng)
    with pytest.raises(ValueError, match="NaN"):
        worst_group(np.full(GROUPS * EACH, np.nan), NAMES, 0.05, rng)
