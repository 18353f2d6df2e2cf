"""harness/analysis/localization.py: a planted few is localized, an even change is diffuse, nothing to recover is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.localization import crossing, localize
from harness.analysis.sample import DegenerateSample

SHARES = np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0])
CLUSTERS = np.arange(40) % 20


def shifts(recovery: np.ndarray, noise: float = 0.05, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scenarios whose full effect is about 1, and what each size recovers of it."""
    rng = np.random.default_rng(seed)
    full = 1 + 0.3 * rng.normal(size=40)
    moved = recovery[:, None] * full + noise * rng.normal(size=(len(recovery), 40))
    moved[-1] = full
    return moved[:, np.newaxis], full[np.newaxis]  # one subject


def extent(recovery: np.ndarray, **rest: float) -> str | None:
    return localize(SHARES, *shifts(recovery, **rest), CLUSTERS, 0.05, np.random.default_rng(1)).extent  # type: ignore[arg-type]  # noise


def test_three_heads_that_carry_everything_are_localized() -> None:
    found = localize(SHARES, *shifts(np.array([0.3, 0.7, 0.95, 0.97, 0.98, 0.99, 1])), CLUSTERS, 0.05, np.random.default_rng(1))
    assert found.extent == "localized"
    assert 0.01 < found.k50.value < 0.02
    assert found.k50.low <= found.k50.value <= found.k50.high
    assert found.recovery[2] == pytest.approx(0.95, abs=0.05)


def test_an_even_change_is_diffuse() -> None:
    assert extent(SHARES) == "diffuse"


def test_between_is_intermediate() -> None:
    assert extent(np.array([0.05, 0.1, 0.2, 0.45, 0.8, 0.95, 1])) == "intermediate"


def test_noise_as_large_as_the_effect_is_inconclusive() -> None:
    assert extent(np.array([0.1, 0.2, 0.4, 0.5, 0.6, 0.8, 1]), noise=3.0) is None


def test_nothing_to_recover_is_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(DegenerateSample, match="all heads together are not shown to move the behavior"):
        localize(SHARES, rng.normal(size=(7, 1, 40)), rng.normal(size=(1, 40)), CLUSTERS, 0.05, rng)


def test_a_negative_effect_is_recovered_alike() -> None:
    moved, full = shifts(np.array([0.3, 0.7, 0.95, 0.97, 0.98, 0.99, 1]))
    up, down = (localize(SHARES, sign * moved, sign * full, CLUSTERS, 0.05, np.random.default_rng(1)) for sign in (1, -1))
    assert up.k50 == down.k50


def trained(seeds: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Trainings that bring about 1 (± .2 by seed); each recovers as many heads' share of it as it patches, give or take .05."""
    full = 1 + 0.2 * rng.normal(size=(seeds, 1)) + 0.3 * rng.normal(size=(seeds, 40))
    moved = (SHARES[:, None, None] + 0.05 * rng.normal(size=(7, seeds, 1))) * full + 0.05 * rng.normal(size=(7, seeds, 40))
    moved[-1] = full
    return moved, full


def test_the_interval_of_several_trainings_covers_their_k50() -> None:
    """True k50 .5; nominal .95, at least .93 less three standard errors of the simulation."""
    runs, held = 100, 0
    for run in range(runs):
        found = localize(SHARES, *trained(4, np.random.default_rng(run)), CLUSTERS, 0.05, np.random.default_rng(run))
        held += found.k50.low <= 0.5 <= found.k50.high
    assert held / runs >= 0.93 - 3 * (0.93 * 0.07 / runs) ** 0.5


def test_one_training_that_moves_is_not_a_kind_of_training_that_does() -> None:
    """The same scenarios, shown to move in the one training; in two more trainings nothing moves."""
    moved, full = trained(1, np.random.default_rng(0))
    assert localize(SHARES, moved, full, CLUSTERS, 0.05, np.random.default_rng(1)).extent == "diffuse"
    with pytest.raises(DegenerateSample, match="not shown to move the behavior"):
        localize(SHARES, moved * [[1.0], [0.1], [0.0]], full * [[1.0], [0.1], [0.0]], CLUSTERS, 0.05, np.random.default_rng(1))


@given(st.lists(st.floats(-2, 2), min_size=7, max_size=7))
def test_the_crossing_lies_on_the_axis(values: list[float]) -> None:
    assert 0 <= crossing(SHARES, np.array(values)) <= 1


def test_known_crossings() -> None:
    assert crossing(np.array([0.5, 1.0]), np.array([1.0, 1.0])) == pytest.approx(0.25)
    assert crossing(np.array([0.5, 1.0]), np.array([0.25, 0.75])) == pytest.approx(0.75)
    assert crossing(np.array([0.5, 1.0]), np.array([0.1, 0.2])) == 1.0


def test_shares_must_rise() -> None:
    with pytest.raises(ValueError, match="must rise from above 0 to at most 1"):
        localize(SHARES[::-1], *shifts(SHARES), CLUSTERS, 0.05, np.random.default_rng(1))
