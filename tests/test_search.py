"""evals/q5/search.py on the shipped model: what it predicts from gradients, held against steered passes at every layer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from evals.q5.search import Search, prose, search
from fixtures.models.figures import TINY_HYBRID
from harness.behaviors.files import load_behavior
from harness.behaviors.shipped import resolve_behavior
from harness.engines.hf.engine import HFEngine
from harness.experiment.profile import across_domains
from harness.readouts.forced_choice import PRIMARY
from harness.readouts.recordings import Recordings
from harness.readouts.steering import DOSES, steering
from harness.store import Store
from harness.subjects.files import base_subject
from harness.subjects.named import model_layer_kinds

pytestmark = pytest.mark.numeric

VECTORS, DOSE = 3, DOSES.index(0.1)
"""The true vector and two shuffled ones, at a dose that most of them may have."""


@pytest.fixture(scope="module")
def lab(hf: HFEngine, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return SimpleNamespace(
        recordings=Recordings(hf, Store(tmp_path_factory.mktemp("store"))),
        base=base_subject("tiny-hybrid", TINY_HYBRID),
        layer_kinds=model_layer_kinds(TINY_HYBRID),
        sizes=SimpleNamespace(prose=12),
        rng=lambda *purpose: np.random.default_rng(len("/".join(purpose))),
        progress=lambda line: None,
        each=lambda function, items: [function(item) for item in items],
    )


@pytest.fixture(scope="module")
def found(lab: Any) -> Search:
    behavior = load_behavior(resolve_behavior("listening"))
    return search(lab, across_domains(behavior.split("train"), 32), across_domains(behavior.split("dev"), 10), 0.05, "listening")


def test_predicted_shifts_rank_vectors_and_layers_as_steered_passes_do(lab: Any, found: Search) -> None:
    recordings, dev = lab.recordings, across_domains(load_behavior(resolve_behavior("listening")).split("dev"), 10)
    before = recordings.forced_choice(lab.base, dev)
    exact = np.array(
        [
            [choice.above(before).metric(PRIMARY).mean() for choice in recordings.forced_choices(lab.base, dev, added)]
            for added in _by_layer(found)
        ]
    )
    expected = DOSES[DOSE] * found.predicted.shift[:VECTORS].T
    assert stats.spearmanr(exact.ravel(), expected.ravel()).statistic > 0.9
    assert np.abs(exact - expected).max() < 0.5 * np.abs(exact).max()


def test_predicted_costs_are_those_of_steered_passes(lab: Any, found: Search) -> None:
    texts = [document.text for document in prose(lab, 0)]
    plain = lab.recordings.text_nll(lab.base, texts)
    exact = np.array([(lab.recordings.text_nlls(lab.base, texts, added) - plain).mean(axis=1) for added in _by_layer(found)])
    expected = found.predicted.cost[:VECTORS, :, DOSE].T
    assert stats.spearmanr(exact.ravel(), expected.ravel()).statistic > 0.9
    assert np.abs(exact - expected).max() < 0.05


def _by_layer(found: Search) -> list[list[Any]]:
    return [
        [steering(found.vectors[i, place], layer, DOSES[DOSE], one.norm) for i in range(VECTORS)]
        for place, (layer, one) in enumerate(found.contrasts.items())
    ]
