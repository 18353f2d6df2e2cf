"""A vector for each layer from the true labels and from shuffled ones, and for each labeling its cell: the layer and the dose.

Every labeling chooses on dev pairs and dev prose by one rule, which `harness/analysis/steering_cells.py` states: the largest dose whose
predicted upper cost keeps the language, at the layer where the predicted shift stands highest. What it predicts from are gradients of the
log-odds and of the prose's negative log-likelihood, and the prose's curvature at each layer, measured along a few mixtures of the pairs'
differences that belong to no labeling.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from evals.q5.design import EXPONENT, METRIC, PROBE_DOSE, PROBES
from fixtures import corpora
from harness.analysis.sign_flips import sign_flips
from harness.analysis.steering_cells import Cells, Predicted, choose_cells, mixtures, predicted
from harness.data.arrays import Floats
from harness.data.behavior import Pair
from harness.engines.protocol import Positions, Steering
from harness.experiment.lab import Lab
from harness.experiment.profile import across_domains, domains_of
from harness.readouts.steering import DOSES, Contrast, Vector, contrasts, layer_indices, steering


@dataclass(frozen=True)
class Cell:
    """A layer and a dose, and what a vector is predicted to do there on dev pairs and dev prose."""

    layer: int
    """Index of the decoder layer after which the vector is added, from 0."""
    dose: float
    """Length of the vector in units of the median residual norm there."""
    shift: float
    """First-order shift of the mean log-odds, nats a token of the decision."""
    cost: float
    """Second-order mean change of the negative log-likelihood of prose, nats a token."""
    upper: float
    """Upper end of its 95 % interval."""


@dataclass(frozen=True)
class Measured:
    """What the true vector does at one dose."""

    dose: float
    """Length in units of the median residual norm; negative for the reversed vector."""
    shift: float
    """Mean shift of the log-odds of dev pairs, nats a token of the decision."""
    cost: float
    """Mean change of the negative log-likelihood of dev prose, nats a token."""


@dataclass(frozen=True)
class Search:
    """The vectors of every labeling, the true one first, and where each is added."""

    contrasts: Mapping[int, Contrast]
    """Layer to the residual streams of the train pairs there, layers ascending."""
    vectors: Floats
    """[labelings, layers, d_model], each as long as a dose of 1; the first labeling is the true one."""
    predicted: Predicted
    """What they do to dev pairs and prose, by the first-order rule."""
    cells: Cells
    """The cell of every labeling."""

    @property
    def layer(self) -> int:
        """Layer of the true vector's cell."""
        return list(self.contrasts)[int(self.cells.layers[0])]

    @property
    def dose(self) -> float:
        """Dose of the true vector's cell."""
        return float(self.cells.doses[0])

    @property
    def contrast(self) -> Contrast:
        """Residual streams of the train pairs at that layer."""
        return self.contrasts[self.layer]

    @property
    def tried(self) -> tuple[Cell, ...]:
        """Every layer and dose of the true vector."""
        return tuple(self._cell(0, layer, dose) for layer in range(len(self.contrasts)) for dose in range(len(DOSES)))

    @cached_property
    def chosen(self) -> tuple[Cell, ...]:
        """The cell of every labeling."""
        places = [DOSES.index(float(dose)) for dose in self.cells.doses]
        return tuple(self._cell(i, int(layer), dose) for i, (layer, dose) in enumerate(zip(self.cells.layers, places, strict=True)))

    def steering(self, vector: Vector | None = None, *, dose: float | None = None, positions: Positions = "both") -> Steering:
        """Steering at the true vector's layer. Without `vector` along the true one, without `dose` as long as its dose says."""
        along = self.vectors[0, self.cells.layers[0]] if vector is None else vector
        return steering(along, self.layer, self.dose if dose is None else dose, self.contrast.norm, positions)

    def shuffled(self) -> list[Steering]:
        """Steering by the vector of every shuffled labeling, each at its own cell."""
        of_each = zip(self.chosen, self.vectors, self.cells.layers, strict=True)
        return [steering(vectors[place], cell.layer, cell.dose, self.contrasts[cell.layer].norm) for cell, vectors, place in of_each][1:]

    def _cell(self, labeling: int, layer: int, dose: int) -> Cell:
        """`layer` and `dose` are places in the contrasts and in DOSES."""
        found, at = self.predicted, (labeling, layer, dose)
        shift = float(found.shift[labeling, layer]) * DOSES[dose]
        return Cell(list(self.contrasts)[layer], DOSES[dose], shift, float(found.cost[at]), float(found.upper[at]))


def prose(lab: Lab, part: int) -> tuple[corpora.Document, ...]:
    """Unrelated documents, as many as the profile reads: part 0 to choose a cell with, part 1 to measure its cost on."""
    by_domain: dict[str, list[corpora.Document]] = {}
    for document in corpora.prose():
        by_domain.setdefault(document.domain, []).append(document)
    return across_domains([document for group in by_domain.values() for document in group[part::2]], lab.sizes.prose)


def search(lab: Lab, train: Sequence[Pair], dev: Sequence[Pair], most_cost: float, what: str) -> Search:
    """Read vectors from `train` under true and shuffled labels, and choose each one's cell on `dev` and on prose.

    `most_cost`, in nats a token, bounds what a dose may cost; where none keeps to it, the cheapest cell is taken. `what` names the behavior
    in progress lines and seeds the shuffles. ValueError where a vector has no length, DegenerateSample where no vector moves anything.
    """
    extracted = contrasts(lab.recordings, lab.base, train, layer_indices(lab.layer_kinds))
    layers, documents = list(extracted), prose(lab, 0)
    texts = [document.text for document in documents]
    differences = np.stack([one.positive - one.negative for one in extracted.values()], axis=1)  # [pairs, layers, d_model]
    norms = np.array([one.norm for one in extracted.values()])
    signs = sign_flips(len(differences), EXPONENT, lab.rng("q5", what, "labels"))
    vectors = np.einsum("vp,pld->vld", signs, differences) / len(differences)
    vectors *= (norms / np.linalg.norm(vectors, axis=2))[..., None]
    lab.progress(f"q5 {what}: gradients of {len(dev)} pairs and {len(texts)} texts, curvature at layers {' '.join(map(str, layers))}")
    found = predicted(
        vectors,
        lab.recordings.choice_gradients(lab.base, dev, layers).mean(axis=0),
        lab.recordings.text_gradients(lab.base, texts, layers),
        curvature(lab, extracted, texts, what),
        domains_of(documents),
        DOSES,
    )
    return Search(extracted, vectors, found, choose_cells(found, DOSES, most_cost))


def curvature(lab: Lab, extracted: Mapping[int, Contrast], texts: Sequence[str], what: str) -> Floats:
    """Second-order change of each text's negative log-likelihood per squared dose, nats a token, [texts, layers].

    Means over PROBES mixtures of the pairs' differences, each added in both directions: what is odd in the dose cancels.
    """
    plain, columns = lab.recordings.text_nll(lab.base, texts), []
    for layer, one in extracted.items():
        probes = mixtures(one.positive - one.negative, PROBES, lab.rng("q5", what, "probes", str(layer)))
        added = [steering(probe, layer, dose, one.norm) for probe in probes for dose in (PROBE_DOSE, -PROBE_DOSE)]
        columns.append((lab.recordings.text_nlls(lab.base, texts, added) - plain).mean(axis=0) / PROBE_DOSE**2)
    return np.stack(columns, axis=1)


def measured(lab: Lab, found: Search, dev: Sequence[Pair]) -> tuple[Measured, ...]:
    """The true vector at its layer, at every dose and reversed, on `dev` and on the prose that it chose its dose with."""
    recordings, doses = lab.recordings, [sign * dose for sign in (1, -1) for dose in DOSES]
    texts, added = [document.text for document in prose(lab, 0)], [found.steering(dose=dose) for dose in doses]
    before, plain = recordings.forced_choice(lab.base, dev), recordings.text_nll(lab.base, texts)
    shifts = [choice.above(before).metric(METRIC).mean() for choice in recordings.forced_choices(lab.base, dev, added)]
    costs = (recordings.text_nlls(lab.base, texts, added) - plain).mean(axis=1)
    return tuple(Measured(dose, float(shift), float(cost)) for dose, shift, cost in zip(doses, shifts, costs, strict=True))
