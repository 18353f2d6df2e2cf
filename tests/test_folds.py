"""folds_by_cluster never splits a domain and balances their number."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.folds import folds_by_cluster


@given(st.integers(2, 12), st.integers(2, 5), st.integers(0, 1000))
def test_domains_stay_whole_and_folds_balanced(domains: int, count: int, seed: int) -> None:
    count = min(count, domains)
    labels = np.random.default_rng(seed).permutation(np.repeat([f"d{i}" for i in range(domains)], 3))
    folds = folds_by_cluster(labels, count, np.random.default_rng(seed))
    per_domain = [set(folds[labels == name]) for name in np.unique(labels)]
    assert all(len(found) == 1 for found in per_domain)
    sizes = np.bincount([found.pop() for found in per_domain], minlength=count)
    assert sizes.max() - sizes.min() <= 1


@pytest.mark.parametrize("count", [1, 4])
def test_refuses_more_folds_than_domains(count: int) -> None:
    with pytest.raises(ValueError, match=r"^count: "):
        folds_by_cluster(["a", "b", "c"], count, np.random.default_rng(0))
