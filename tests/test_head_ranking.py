"""harness/analysis/head_ranking.py: planted heads are agreed on, noise is not, the difference to sham has its interval."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analysis.head_ranking import agreement, agreement_gain, first_place, top
from harness.analysis.sample import DegenerateSample

N, HEADS = 40, 60
CLUSTERS = np.arange(N) % 20


def distances(signal: float, seed: int) -> np.ndarray:
    """Noise in which six heads (a tenth) stand out by `signal`."""
    rng = np.random.default_rng(seed)
    values = np.abs(rng.normal(size=(N, HEADS)))
    values[:, 7:13] += signal
    return values


def test_planted_heads_are_agreed_on() -> None:
    assert agreement(distances(3.0, 0), CLUSTERS, np.random.default_rng(0)) == 1.0


def test_noise_agrees_by_chance() -> None:
    """Two random tenths share a tenth."""
    found = np.mean([agreement(distances(0.0, seed), CLUSTERS, np.random.default_rng(0), splits=20) for seed in range(20)])
    assert found == pytest.approx(0.1, abs=0.06)


def test_more_agreement_than_sham_is_shown() -> None:
    shams = np.stack([distances(0.0, seed) for seed in (1, 2, 3)])
    estimate = agreement_gain(distances(3.0, 0)[None], shams, CLUSTERS, 0.05, np.random.default_rng(0))
    assert estimate.low > 0.3


def test_agreement_as_in_sham_is_not() -> None:
    shams = np.stack([distances(0.3, seed) for seed in (1, 2, 3)])
    estimate = agreement_gain(distances(0.3, 0)[None], shams, CLUSTERS, 0.05, np.random.default_rng(0))
    assert estimate.low < 0 < estimate.high


def test_the_interval_covers_no_difference() -> None:
    """Nominal .95; at least .93 less three standard errors of the simulation."""
    runs, held = 60, 0
    for run in range(runs):
        shams = np.stack([distances(0.3, 1000 * run + seed) for seed in (1, 2, 3)])
        estimate = agreement_gain(distances(0.3, 1000 * run)[None], shams, CLUSTERS, 0.05, np.random.default_rng(run), splits=20)
        held += estimate.low <= 0 <= estimate.high
    assert held / runs >= 0.93 - 3 * (0.93 * 0.07 / runs) ** 0.5


def test_few_domains_are_refused() -> None:
    with pytest.raises(DegenerateSample, match="3 domains cannot be split"):
        agreement_gain(distances(1.0, 0)[None], distances(1.0, 1)[None], np.arange(N) % 3, 0.05, np.random.default_rng(0))


def test_trainings_are_paired_with_shams_and_disagreement_between_them_widens_the_interval() -> None:
    shams = np.stack([distances(0.0, seed) for seed in (1, 2, 3)])
    alike = np.stack([distances(3.0, seed) for seed in (4, 5, 6)])
    unlike = np.stack([distances(3.0, 4), distances(0.0, 5), distances(0.0, 6)])
    found, wide = (agreement_gain(each, shams, CLUSTERS, 0.05, np.random.default_rng(0)) for each in (alike, unlike))
    assert found.low > 0.3 and wide.low < 0 < wide.value
    with pytest.raises(ValueError, match="2 trainings and 3 shams"):
        agreement_gain(alike[:2], shams, CLUSTERS, 0.05, np.random.default_rng(0))


@pytest.mark.parametrize("trainings", [1, 4])
def test_first_place_is_shown_where_one_leads_and_not_where_two_tie(trainings: int) -> None:
    rng = np.random.default_rng(0)
    effects = rng.normal(size=(5, trainings, N)) * 0.2
    effects[3] += 1
    order, lead = first_place(effects, CLUSTERS, rng)
    assert order[0] == 3 and lead.low > 0.5
    effects[1] += 1
    order, lead = first_place(effects, CLUSTERS, rng)
    assert set(order[:2]) == {1, 3} and lead.low < 0 < lead.high


def test_a_layer_that_is_first_in_one_training_of_three_is_not_shown_to_be_first() -> None:
    rng = np.random.default_rng(0)
    effects = rng.normal(size=(5, 3, N)) * 0.2
    effects[3, 0] += 3
    assert first_place(effects[:, :1], CLUSTERS, rng)[1].low > 0
    order, lead = first_place(effects, CLUSTERS, rng)
    assert order[0] == 3 and lead.low < 0


def test_top_breaks_ties_by_index() -> None:
    assert top(np.array([1.0, 3.0, 3.0, 2.0]), 3).tolist() == [1, 2, 3]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.01, 100))
def test_agreement_is_a_share_that_the_scale_of_distances_does_not_change(seed: int, scale: float) -> None:
    values = distances(0.5, seed)
    found = agreement(values, CLUSTERS, np.random.default_rng(seed), splits=10)
    assert 0 <= found <= 1
    assert agreement(scale * values, CLUSTERS, np.random.default_rng(seed), splits=10) == pytest.approx(found, abs=0.02)


def test_one_domain_or_no_number_is_refused_by_name() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="clusters: a single cluster"):
        first_place(rng.normal(size=(2, 1, N)), np.zeros(N), np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"distances: .* NaN"):
        agreement(np.full((N, HEADS), np.nan), CLUSTERS, np.random.default_rng(0))


def test_heads_that_never_change_places_carry_no_interval() -> None:
    steady = np.tile(np.arange(HEADS, dtype=float), (N, 1))
    with pytest.raises(DegenerateSample, match="never changes the agreement"):
        agreement_gain(steady[None], steady[None], CLUSTERS, 0.05, np.random.default_rng(0))
