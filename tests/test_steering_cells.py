"""harness/analysis/steering_cells.py: the rule in planted cases, and the rank on top of it: false positives and power, end to end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from harness.analysis.null_rank import NullRank, null_rank
from harness.analysis.sign_flips import sign_flips
from harness.analysis.steering_cells import choose_cells, mixtures, predicted
from harness.data.arrays import Floats

DOSES = (0.05, 0.1, 0.2, 0.4, 0.8)
DOMAINS = np.repeat(np.arange(6), 2)
FLAT = np.zeros((12, 2, 3))
"""Gradients of texts at two layers, d_model 3: no vector costs anything to first order."""


def unit_vectors() -> Floats:
    """[3 vectors, 2 layers, d_model 3]: along each axis, at both layers."""
    return np.repeat(np.eye(3)[:, None], 2, axis=1)


def test_predictions_are_first_order_in_the_choice_and_second_in_the_cost() -> None:
    gradient, slopes = np.array([[1.0, 2.0, 0.0], [0.0, 0.0, 3.0]]), FLAT.copy()
    slopes[:, 1, 0] = 0.4
    found = predicted(unit_vectors(), gradient, slopes, np.full((12, 2), 2.0), DOMAINS, DOSES)
    np.testing.assert_allclose(found.shift, gradient.T)
    np.testing.assert_allclose(found.cost[0, 1], [0.4 * dose + 2 * dose**2 for dose in DOSES])
    np.testing.assert_allclose(found.upper, found.cost)  # all domains alike
    np.testing.assert_allclose(found.deviation, gradient.std(axis=1))


def test_the_upper_end_is_students_over_domains() -> None:
    slopes, by_domain = FLAT.copy(), np.arange(6.0)
    slopes[:, 0, 0] = by_domain[DOMAINS]
    found = predicted(unit_vectors(), np.ones((2, 3)), slopes, np.zeros((12, 2)), DOMAINS, (1.0,))
    error = by_domain.std(ddof=1) / np.sqrt(6)
    assert found.upper[0, 0, 0] == pytest.approx(2.5 + 2.5706 * error, rel=1e-4)


def test_the_dose_is_the_largest_whose_upper_cost_and_that_of_all_smaller_ones_keeps_to_the_bound() -> None:
    slopes = FLAT.copy()
    slopes[:, :, 1] = 0.6
    slopes[:, :, 2] = -2.0
    found = predicted(unit_vectors(), np.ones((2, 3)), slopes, np.full((12, 2), 1.0), DOMAINS, DOSES)
    cells = choose_cells(found, DOSES, 0.05)
    assert cells.doses.tolist() == [0.2, 0.05, 0.8]  # .04; .6 × .05 + .0025; below 0 throughout
    assert cells.kept.all()


def test_the_layer_is_where_the_shift_stands_highest_not_where_it_is_largest() -> None:
    gradient = np.array([[3.0, 2.9, -2.9], [1.0, 0.0, 0.0]])  # at the first, other vectors move as much
    cells = choose_cells(predicted(unit_vectors(), gradient, FLAT, np.ones((12, 2)), DOMAINS, DOSES), DOSES, 0.05)
    assert cells.layers[0] == 1
    assert cells.scale[0] == pytest.approx(0.2 * gradient[1].std())


def test_a_layer_without_a_usable_dose_is_left_out_and_without_any_the_cheapest_is_taken() -> None:
    gradient, bend = np.array([[0.1, 0.0, 0.0], [5.0, 0.0, 0.0]]), np.ones((12, 2))
    bend[:, 1] = 40.0  # .1 at the smallest dose
    cells = choose_cells(predicted(unit_vectors(), gradient, FLAT, bend, DOMAINS, DOSES), DOSES, 0.05)
    assert (cells.layers.tolist(), cells.kept.tolist()) == ([0, 0, 0], [True, True, True])
    cells = choose_cells(predicted(unit_vectors(), gradient, FLAT, 100 * bend, DOMAINS, DOSES), DOSES, 0.05)
    assert (cells.layers.tolist(), cells.kept.tolist(), cells.doses.tolist()) == ([0, 0, 0], [False] * 3, [0.05] * 3)


def test_where_nothing_moves_nothing_stands_out() -> None:
    found = predicted(unit_vectors(), np.zeros((2, 3)), FLAT, np.ones((12, 2)), DOMAINS, DOSES)
    assert not (found.shift / found.deviation).any()
    assert np.isfinite(choose_cells(found, DOSES, 0.05).scale).all()


def test_mixtures_do_not_know_the_labels_and_are_spread_as_flipped_sums_are() -> None:
    rng = np.random.default_rng(0)
    differences = rng.standard_normal((9, 4)) * [4.0, 1.0, 1.0, 0.1]
    flipped = differences * rng.choice([-1.0, 1.0], (9, 1))
    one, other = (mixtures(rows, 5, np.random.default_rng(1)) for rows in (differences, flipped))
    np.testing.assert_allclose(one, other)
    spread = np.cov(mixtures(differences, 20_000, rng).T, bias=True)
    np.testing.assert_allclose(spread, differences.T @ differences, atol=0.03 * spread.max())


# -- end to end: vectors, cells, exact rank ------------------------------------------------------------------------

PAIRS, LAYERS, WIDTH, SCENARIOS = 64, 4, 40, 12


@dataclass(frozen=True)
class World:
    """One made-up model: `planted` standard deviations of a pair's difference point along the gradient at every layer."""

    planted: float
    rng: np.random.Generator

    def ranks(self) -> tuple[NullRank, NullRank]:
        """Of the true vector among shuffled ones: each at the cell that it chose, and all at the cell that the true one chose."""
        rng = self.rng
        axis = rng.standard_normal((LAYERS, WIDTH))
        axis *= np.array([1.0, 1.5, 2.0, 4.0])[:, None] / np.linalg.norm(axis, axis=1, keepdims=True)  # late layers answer to anything
        noise = rng.standard_t(4, (PAIRS, LAYERS, WIDTH)) + rng.standard_t(4, (PAIRS, 1, WIDTH))  # layers share a part
        differences = noise + self.planted * axis / np.linalg.norm(axis, axis=1, keepdims=True)
        vectors = np.einsum("vp,pld->vld", sign_flips(PAIRS, 7, rng), differences)
        vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
        dev, test = (axis + 0.5 * rng.standard_normal((SCENARIOS, LAYERS, WIDTH)) for _ in range(2))
        slopes, bend = 0.3 * rng.standard_normal((12, LAYERS, WIDTH)), 2 + rng.random((12, LAYERS))
        cells = choose_cells(predicted(vectors, dev.mean(axis=0), slopes, bend, DOMAINS, DOSES), DOSES, 0.05)

        def standing(layers: Floats, doses: Floats, scale: Floats) -> Floats:
            along = np.einsum("sld,vld->vls", test, vectors)[np.arange(len(vectors)), layers]  # [vectors, scenarios]
            return (np.tanh(doses[:, None] * along) + 0.02 * rng.standard_normal(along.shape)).mean(axis=1) / scale

        own = standing(cells.layers, cells.doses, cells.scale)
        fixed = standing(*(np.full_like(values, values[0]) for values in (cells.layers, cells.doses, cells.scale)))
        return null_rank(own[0], own[1:]), null_rank(fixed[0], fixed[1:])


def test_without_an_effect_one_in_twenty_passes_and_more_where_nulls_do_not_choose_for_themselves() -> None:
    rng = np.random.default_rng(3)
    p = np.array([[rank.p for rank in World(0.0, rng).ranks()] for _ in range(1500)])
    own, fixed = (p <= 0.05).mean(axis=0)
    assert own == pytest.approx(6 / 128, abs=2 * 0.0055)  # two standard errors: not more often, and the rank wastes nothing
    assert fixed > 0.08


def test_three_null_standard_deviations_pass_in_most_worlds() -> None:
    rng = np.random.default_rng(4)
    ranks = [World(1.1, rng).ranks()[0] for _ in range(200)]
    assert np.mean([rank.deviations for rank in ranks]) == pytest.approx(3, abs=0.2)
    assert np.mean([rank.p <= 0.05 for rank in ranks]) >= 0.8
