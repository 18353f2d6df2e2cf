"""The cell of each of many steering vectors: the layer after which it is added and its dose, by one rule for all, without a steered pass.

To first order a vector v added after layer l moves the mean log-odds of dev pairs by dose × g_l · v, with g_l their mean gradient. The cost
of document i is predicted to second order: dose × h_il · v + dose² × c_il, with h_il the gradient of its negative log-likelihood a token
and c_il the curvature there, one for all vectors. At each layer the dose is the largest of those up to which the upper end of the predicted
mean cost stays below the bound. The layer is, of those that have such a dose, the one where the predicted shift stands highest, in standard
deviations of what all the vectors do there: by the size of the shift alone, layers at which any vector moves the choice would win. The rule
treats all vectors alike, so it leaves a rank among label-shuffled vectors exact. It cannot know that a shift levels off at larger doses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from harness.analysis.sample import Clusters, cluster, finite
from harness.data.arrays import Floats, Integers


@dataclass(frozen=True)
class Predicted:
    """What every vector is predicted to do at every layer, for a dose of 1 and for each dose."""

    shift: Floats
    """First-order shift of the mean log-odds per unit of dose, [vectors, layers]."""
    deviation: Floats
    """Standard deviation of `shift` over the vectors, [layers]; 1 where none moves anything."""
    cost: Floats
    """Predicted mean cost, [vectors, layers, doses]."""
    upper: Floats
    """Upper end of its 95 % interval over domains of documents, [vectors, layers, doses]."""


@dataclass(frozen=True)
class Cells:
    """The cell of every vector."""

    layers: Integers  # [vectors], places in the list of layers
    doses: Floats  # [vectors]
    scale: Floats
    """[vectors], what one standard deviation of the vectors' predicted shifts is at the cell, in the unit of the log-odds."""
    kept: Floats
    """[vectors], whether the predicted upper cost at the cell stays below the bound; where it does at no cell, the cheapest was taken."""


def predicted(
    vectors: ArrayLike, gradient: ArrayLike, text_gradients: ArrayLike, curvature: ArrayLike, domains: ArrayLike, doses: Sequence[float]
) -> Predicted:
    """Predictions for `vectors` [vectors, layers, d_model], each as long as a dose of 1.

    `gradient` [layers, d_model], `text_gradients` [texts, layers, d_model], `curvature` [texts, layers]; `domains` [texts]. `doses` rise.
    ValueError as in `sample.finite` and `sample.cluster`.
    """
    along, each = finite(vectors, "vectors", 3, at_least=1), finite(text_gradients, "text_gradients", 3, at_least=1)
    shift = np.einsum("vld,ld->vl", along, finite(gradient, "gradient", 2, at_least=1))
    deviation = shift.std(axis=0)
    deviation[deviation == 0] = 1.0
    groups, sizes = cluster(domains, len(each)), np.asarray(doses, np.float64)
    slope, bend = (_by_domain(groups, rows) for rows in (np.einsum("tld,vld->vlt", each, along), finite(curvature, "curvature", 2, 1).T))
    of_domain = slope[..., None, :] * sizes[:, None] + bend[:, None, :] * sizes[:, None] ** 2  # [vectors, layers, doses, domains]
    error = of_domain.std(axis=-1, ddof=1) / np.sqrt(groups.count)
    cost = of_domain.mean(axis=-1)
    return Predicted(shift, deviation, cost, cost + float(stats.t.isf(0.025, groups.count - 1)) * error)


def choose_cells(found: Predicted, doses: Sequence[float], most_cost: float) -> Cells:
    """The cell of every vector, by the rule above; `most_cost` is in the unit of the cost."""
    sizes = np.asarray(doses, np.float64)
    usable = np.logical_and.accumulate(found.upper < most_cost, axis=-1).sum(axis=-1)  # [vectors, layers], of the doses, from the least
    standing = np.where(usable > 0, found.shift / found.deviation, -np.inf)
    kept = (usable > 0).any(axis=1)
    layers = np.where(kept, standing.argmax(axis=1), found.upper[..., 0].argmin(axis=1))
    chosen = sizes[np.maximum(usable[np.arange(len(layers)), layers] - 1, 0)]
    return Cells(layers, chosen, chosen * found.deviation[layers], kept)


def mixtures(differences: Floats, count: int, rng: np.random.Generator) -> Floats:
    """Random vectors [count, d_model] that are spread as sums of `differences` [pairs, d_model] under random signs are.

    They come from the singular values and right singular vectors, which no flip of a pair's labels changes, so that what is measured along
    them is the same for the true labels and for all shuffled ones.
    """
    _, lengths, axes = np.linalg.svd(differences, full_matrices=False)
    return np.asarray(((rng.standard_normal((count, differences.shape[1])) @ axes.T) * lengths) @ axes)


def _by_domain(groups: Clusters, values: Floats) -> Floats:
    """Means of `values` [..., texts] over the documents of each domain, [..., domains]."""
    return np.asarray(groups.sums(values) / groups.sizes)
