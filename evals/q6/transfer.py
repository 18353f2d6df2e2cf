"""Gains over sham: does anything get better that was not trained, beyond what any training of that size brings?

A one-sided t test over the documents or tasks of each cell, adjusted by Holm over all of them. A gain that training as such brings (more
steps on short conversations) is in sham too and cancels. A gain in too few documents for a t test is not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from evals.q6.cells import Cell
from harness.analysis.holm import holm_adjusted


@dataclass(frozen=True)
class Gain:
    """One cell's gain over sham, and how likely one as large is without any."""

    cell: str
    """Part and name."""
    mean: float
    """In the cell's unit, positive where better than sham."""
    p: float
    """One-sided t test over documents or tasks."""
    adjusted: float
    """The same p by Holm, over all cells tested."""


def gains_over_sham(cells: Sequence[Cell]) -> list[Gain]:
    """A gain for each cell that has a sham and whose differences to it vary, in the order of `cells`."""
    tested = [(f"{cell.part}: {cell.name}", gap) for cell in cells if (gap := cell.gain_over_sham) is not None and np.ptp(gap) > 0]
    if not tested:
        return []
    p_values = [float(stats.ttest_1samp(gap, 0, alternative="greater").pvalue) for _, gap in tested]
    return [Gain(name, float(gap.mean()), p, float(a)) for (name, gap), p, a in zip(tested, p_values, holm_adjusted(p_values), strict=True)]
