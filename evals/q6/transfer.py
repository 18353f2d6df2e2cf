"""Gains over sham: does anything get better that was not trained, beyond what any training of that size brings?

A one-sided t test over the documents or tasks of each cell and, where there are several trainings, another one over these; the larger p
counts, adjusted by Holm over all cells. A gain that training as such brings (more
steps on short conversations) is in sham too and cancels. A gain in too few documents for a t test is not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from evals.q6.cells import Cell
from harness.analysis.holm import holm_adjusted
from harness.data.arrays import Floats


@dataclass(frozen=True)
class Gain:
    """One cell's gain over sham, and how likely one as large is without any."""

    cell: str
    """Part and name."""
    mean: float
    """In the cell's unit, positive where better than sham."""
    p: float
    """One-sided; over documents or tasks, or over trainings where that is larger."""
    adjusted: float
    """The same p by Holm, over all cells tested."""


def gains_over_sham(cells: Sequence[Cell]) -> list[Gain]:
    """A gain for each cell that has a sham and whose differences to it vary, in the order of `cells`."""
    tested = [
        (f"{cell.part}: {cell.name}", gaps)
        for cell in cells
        if (gaps := cell.gains_over_sham) is not None and np.ptp(gaps.mean(axis=0)) > 0
    ]
    if not tested:
        return []
    p_values = [_p(gaps) for _, gaps in tested]
    return [
        Gain(name, float(gaps.mean()), p, float(a)) for (name, gaps), p, a in zip(tested, p_values, holm_adjusted(p_values), strict=True)
    ]


def _p(gaps: Floats) -> float:
    """One-sided p of a mean above 0 in `gaps` [trainings, documents or tasks]."""
    samples = [gaps.mean(axis=0), *([gaps.mean(axis=1)] if len(gaps) > 1 else [])]
    return max(float(stats.ttest_1samp(sample, 0, alternative="greater").pvalue) if np.ptp(sample) > 0 else 1.0 for sample in samples)
