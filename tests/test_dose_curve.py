"""A dose curve is refused unless its points, seeds and numbers of examples fit together."""

from __future__ import annotations

import numpy as np
import pytest

from harness.analysis.dose_curve import dose_curve


def test_passes_a_curve_through() -> None:
    assert dose_curve((1, 5), np.ones((2, 3, 4))).shape == (2, 3, 4)


@pytest.mark.parametrize(
    ("ns", "shape", "named"),
    [
        ((1, 5, 10), (2, 3, 4), "ns: 3 numbers"),
        ((5, 1), (2, 3, 4), "ns: are"),
        ((0, 5), (2, 3, 4), "ns: are"),
        ((5, 5), (2, 3, 4), "ns: are"),
        ((5,), (1, 3, 4), "ns: a single"),
        ((1, 5), (2, 1, 4), "effects: one seed"),
        ((1, 5), (2, 3, 1), "effects: 1 along"),
        ((1, 5), (2, 3), "effects: has 2 axes"),
    ],
)
def test_refuses_by_name(ns: tuple[int, ...], shape: tuple[int, ...], named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named}"):
        dose_curve(ns, np.ones(shape))


def test_refuses_missing_values() -> None:
    with pytest.raises(ValueError, match=r"^effects: 24 of 24"):
        dose_curve((1, 5), np.full((2, 3, 4), np.nan))
