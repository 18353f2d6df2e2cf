"""Refusals that every statistic shares, and the bookkeeping of clusters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.sample import DegenerateSample, check_alpha, cluster, finite


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_finite_refuses_non_finite_values_by_name(bad: float) -> None:
    with pytest.raises(ValueError, match=r"^shift: 1 of 3 values are NaN or infinite"):
        finite([0.0, bad, 1.0], "shift", 1)


@pytest.mark.parametrize(("values", "found"), [([], "is empty"), ([1.0], "must be at least 2"), ([[1.0, 2.0]], "has 2 axes")])
def test_finite_refuses_what_is_no_sample(values: list[float], found: str) -> None:
    with pytest.raises(ValueError, match=f"^shift: .*{found}"):
        finite(values, "shift", 1)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, float("nan")])
def test_alpha_is_a_rate(alpha: float) -> None:
    with pytest.raises(ValueError, match=r"^alpha: "):
        check_alpha(alpha)


def test_sums_are_by_cluster() -> None:
    groups = cluster(["b", "a", "b"], 3)
    assert groups.count == 2
    assert groups.sizes.tolist() == [1, 2]
    assert groups.sums(np.array([1.0, 2.0, 4.0])).tolist() == [2, 5]


def test_clusters_of_one_keep_every_value() -> None:
    assert cluster(["c", "a", "b"], 3).sums(np.array([1.0, 2.0, 3.0])).tolist() == [2, 3, 1]
    assert cluster(None, 3).sums(np.array([1.0, 2.0, 3.0])).tolist() == [1, 2, 3]


@pytest.mark.parametrize("labels", [["a"], ["a", "a"], ["a", None], [0.0, np.nan]])
def test_cluster_refuses_labels_that_say_nothing(labels: list[object]) -> None:
    with pytest.raises(ValueError, match=r"^domains: "):
        cluster(np.asarray(labels, dtype=object) if None in labels else np.asarray(labels), 2, "domains")


def test_degenerate_sample_carries_its_reason() -> None:
    assert DegenerateSample("no variance").reason == "no variance"


@given(st.lists(st.tuples(st.integers(0, 4), st.floats(-100, 100)), min_size=2, max_size=30))
def test_sums_over_clusters_add_up_to_the_sum_of_all(rows: list[tuple[int, float]]) -> None:
    labels, values = [label for label, _ in rows], np.array([value for _, value in rows])
    if len(set(labels)) < 2:
        with pytest.raises(ValueError, match="a single cluster"):
            cluster(labels, len(labels))
        return
    groups = cluster(labels, len(labels))
    assert groups.sums(values).sum() == pytest.approx(values.sum(), abs=1e-9) and groups.sizes.sum() == len(rows)
