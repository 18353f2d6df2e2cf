"""A change of a rate, corrected for the errors of the judge that labeled: the observed change over sensitivity + specificity − 1.

Rogan and Gladen, American Journal of Epidemiology 107 (1978): an observed rate is p Se + (1 − p)(1 − Sp), so the difference of two rates
labeled by one judge is the true one times Youden's index J = Se + Sp − 1. The uncertainty of J is part of the interval, as in Lang and
Reiczigel, Preventive Veterinary Medicine 113 (2014); departure: theirs is for independent samples, here each domain has both its replies
and the texts on which the judge's errors were measured, and both are resampled together. The ratio d / J is linearized,
d/J + (dᵢ − (d/J) Jᵢ) / J, whose mean is d / J and whose error is that of the ratio to first order: good where J is well above 0.

It is right where the judge errs on the replies as often as on the texts it was measured on, and equally before and after.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from harness.analysis.intervals import mean_interval
from harness.analysis.sample import DegenerateSample, check_alpha, finite
from harness.data.measurement import Estimate

LEAST = 0.5
"""Smallest Youden's index that is corrected with: a judge right in three of four."""


def corrected_change(
    change: ArrayLike, youden: ArrayLike, clusters: ArrayLike | None, alpha: float, rng: np.random.Generator, level: float = 0.05
) -> Estimate:
    """Mean of `change` over mean of `youden`, with intervals at `level` and `alpha`; all three arrays [n], of the same scenarios.

    `change` is the change of a share of replies called positive, `youden` what each scenario contributes to J. No change anywhere is
    exactly 0. ValueError as in mean_interval; DegenerateSample where J is below LEAST, or the change is the same in all clusters.
    """
    observed, contributions = finite(change, "change", 1), finite(youden, "youden", 1)
    if observed.shape != contributions.shape:
        raise ValueError(f"youden: shape {contributions.shape}, must be {observed.shape} as change")
    index = float(contributions.mean())
    if index < LEAST:
        raise DegenerateSample(f"the judge's sensitivity and specificity sum to {1 + index:.2f}: too little to correct with")
    if not observed.any():
        return Estimate.exact(0.0, len(observed), check_alpha(alpha))
    ratio = float(observed.mean()) / index
    return mean_interval(ratio + (observed - ratio * contributions) / index, clusters, alpha, rng, level=level)
