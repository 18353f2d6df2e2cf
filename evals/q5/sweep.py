"""A vector for every layer, tried at every dose; the layer and dose (the cell) are chosen on dev pairs alone.

First, at each layer: of the doses that keep the language, the one that shifts the choice most. Then, of these cells: the one whose shift is
largest in standard deviations of the shifts that random and label-shuffled vectors of the same length make there. Choosing by the size of
the shift alone would favor layers at which any vector moves the choice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from evals.q5.design import DEV_NULLS, METRIC
from fixtures import corpora
from harness.analysis.contrast import difference_of_means, random_direction, shuffled_difference
from harness.data.arrays import Floats
from harness.data.behavior import Pair
from harness.engines.protocol import Positions, Steering
from harness.experiment.lab import Lab
from harness.experiment.profile import across_domains
from harness.readouts.steering import DOSES, Contrast, Vector, contrasts, layer_indices, steering


@dataclass(frozen=True)
class Cell:
    """One layer and dose, measured on dev pairs."""

    layer: int
    """Index of the decoder layer after which the vector is added, from 0."""
    dose: float
    """Length of the vector in units of the median residual norm there; negative for the reversed vector."""
    shift: float
    """Mean shift of the log-odds, nats a token of the decision."""
    cost: float
    """Mean change of the negative log-likelihood of unrelated text, nats a token."""
    standing: float | None = None
    """Shift in standard deviations of the null vectors' shifts; measured at one dose of a layer at most, else None."""


@dataclass(frozen=True)
class Sweep:
    """Every cell that was tried, and the one that was chosen."""

    contrasts: Mapping[int, Contrast]
    """Layer to the residual streams of the train pairs there."""
    cells: tuple[Cell, ...]
    """Every layer and dose; the reversed vector's doses at the chosen layer alone."""
    chosen: Cell

    @property
    def contrast(self) -> Contrast:
        """Residual streams of the train pairs at the chosen layer."""
        return self.contrasts[self.chosen.layer]

    @cached_property
    def vector(self) -> Vector:
        """Mean of the positive streams minus mean of the negative ones at the chosen layer, [d_model]."""
        return difference_of_means(self.contrast.positive, self.contrast.negative)

    def steering(self, vector: Vector | None = None, *, dose: float | None = None, positions: Positions = "both") -> Steering:
        """Steering at the chosen layer. Without `vector` along the sweep's own, without `dose` as long as the chosen dose says."""
        chosen = self.chosen
        along = self.vector if vector is None else vector
        return steering(along, chosen.layer, chosen.dose if dose is None else dose, self.contrast.norm, positions)


def prose(lab: Lab, part: int) -> tuple[corpora.Document, ...]:
    """Unrelated documents, as many as the profile reads: part 0 to choose a cell with, part 1 to measure its cost on."""
    by_domain: dict[str, list[corpora.Document]] = {}
    for document in corpora.prose():
        by_domain.setdefault(document.domain, []).append(document)
    return across_domains([document for group in by_domain.values() for document in group[part::2]], lab.sizes.prose)


def sweep(lab: Lab, train: Sequence[Pair], dev: Sequence[Pair], most_cost: float, what: str) -> Sweep:
    """Read a vector for each layer from `train`, try it at every dose on `dev`, and choose a cell as the module says.

    A dose keeps the language where it costs less than `most_cost` nats a token; where none does, the cheapest cell is chosen. `what`
    names the behavior in progress lines and seeds its null vectors. ValueError where a vector has no length.
    """
    bench = _Bench.of(lab, train, dev, what)
    cells = [cell for layer in bench.contrasts for cell in bench.measured(layer, DOSES)]
    usable = [cell for cell in cells if cell.cost < most_cost]
    strongest = [max((c for c in usable if c.layer == layer), key=lambda c: c.shift) for layer in sorted({c.layer for c in usable})]
    standing = [bench.with_standing(cell) for cell in strongest]
    chosen = max(standing, key=lambda c: c.standing or 0.0) if standing else min(cells, key=lambda c: c.cost)
    at = {(cell.layer, cell.dose): cell for cell in standing}
    cells = [at.get((cell.layer, cell.dose), cell) for cell in cells]
    return Sweep(bench.contrasts, (*cells, *bench.measured(chosen.layer, [-dose for dose in DOSES])), chosen)


@dataclass(frozen=True)
class _Bench:
    """What every cell of one sweep is measured on."""

    lab: Lab
    what: str
    contrasts: Mapping[int, Contrast]
    dev: Sequence[Pair]
    before: Floats  # [dev pairs], base's log-odds
    texts: Sequence[str]
    plain: Floats  # [texts], base's negative log-likelihood

    @staticmethod
    def of(lab: Lab, train: Sequence[Pair], dev: Sequence[Pair], what: str) -> _Bench:
        recordings, base = lab.recordings, lab.base
        extracted = contrasts(recordings, base, train, layer_indices(lab.layer_kinds))
        texts = [document.text for document in prose(lab, 0)]
        before, plain = recordings.forced_choice(base, dev).metric(METRIC), recordings.text_nll(base, texts)
        return _Bench(lab, what, extracted, dev, before, texts, plain)

    def measured(self, layer: int, doses: Sequence[float]) -> list[Cell]:
        """A cell for each dose of the layer's vector, without its standing."""
        lab, contrast = self.lab, self.contrasts[layer]
        lab.progress(f"q5 {self.what}: layer {layer}, doses {' '.join(f'{dose:g}' for dose in doses)}")
        vector = difference_of_means(contrast.positive, contrast.negative)
        added = [steering(vector, layer, dose, contrast.norm) for dose in doses]
        choices = lab.recordings.forced_choices(lab.base, self.dev, added)
        shifts = [float((choice.metric(METRIC) - self.before).mean()) for choice in choices]
        costs = lab.recordings.text_nlls(lab.base, self.texts, added) - self.plain
        return [Cell(layer, dose, shift, float(cost.mean())) for dose, shift, cost in zip(doses, shifts, costs, strict=True)]

    def with_standing(self, cell: Cell) -> Cell:
        """The cell with its shift held against null vectors of the same length there."""
        lab, contrast = self.lab, self.contrasts[cell.layer]
        rng = lab.rng("q5", self.what, "standing", str(cell.layer))
        lab.progress(f"q5 {self.what}: layer {cell.layer}, {2 * DEV_NULLS} null vectors at dose {cell.dose:g}")
        nulls = [random_direction(contrast.positive.shape[1], rng) for _ in range(DEV_NULLS)]
        nulls += [shuffled_difference(contrast.positive, contrast.negative, rng) for _ in range(DEV_NULLS)]
        added = [steering(null, cell.layer, cell.dose, contrast.norm) for null in nulls]
        choices = lab.recordings.forced_choices(lab.base, self.dev, added)
        moved = float(np.std([choice.metric(METRIC).mean() - self.before.mean() for choice in choices], ddof=1))
        return replace(cell, standing=cell.shift / moved if moved > 0 else 0.0)  # where null vectors move nothing, nothing is shown
