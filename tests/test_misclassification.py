"""harness/analysis/misclassification.py: special cases and refusals. How often its interval holds the true change: test_coverage.py."""

from __future__ import annotations

import numpy as np
import pytest

from harness.analysis.intervals import mean_interval
from harness.analysis.misclassification import corrected_change
from harness.analysis.sample import DegenerateSample

DOMAINS = np.repeat(np.arange(32), 7)
N = len(DOMAINS)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_without_errors_it_is_the_mean_and_its_interval() -> None:
    change = rng().normal(0.2, 0.3, N)
    assert corrected_change(change, np.ones(N), DOMAINS, 0.001, rng()) == mean_interval(change, DOMAINS, 0.001, rng())


def test_the_value_is_the_ratio_and_turns_with_the_sign() -> None:
    change, youden = rng().normal(0.2, 0.3, N), 0.8 + rng().normal(0, 0.2, N)
    found = corrected_change(change, youden, DOMAINS, 0.001, rng())
    assert found.value == pytest.approx(change.mean() / youden.mean())
    assert corrected_change(-change, youden, DOMAINS, 0.001, rng()).value == pytest.approx(-found.value)
    assert found.low_alpha < found.low < found.value < found.high < found.high_alpha


def test_no_change_is_exactly_none() -> None:
    found = corrected_change(np.zeros(N), np.full(N, 0.8), DOMAINS, 0.001, rng())
    assert (found.value, found.low, found.high_alpha) == (0, 0, 0)


def test_a_judge_that_hardly_tells_is_refused() -> None:
    with pytest.raises(DegenerateSample, match=r"sum to 1\.40: too little to correct with"):
        corrected_change(rng().normal(0, 1, N), np.full(N, 0.4), DOMAINS, 0.001, rng())
    with pytest.raises(ValueError, match="youden: shape"):
        corrected_change(np.ones(N), np.ones(N - 1), DOMAINS, 0.001, rng())
