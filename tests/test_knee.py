"""find_knee: finds a planted knee, none in noise, none in a curve that still rises."""

from __future__ import annotations

import numpy as np
import pytest

from harness.analysis.knee import Knee, find_knee
from harness.analysis.sample import DegenerateSample

NS = (1, 5, 10, 20, 50)
DOMAINS = np.repeat(np.arange(10), 7)


def _curve(means: tuple[float, ...], rng: np.random.Generator, seeds: int = 5) -> np.ndarray:
    """Effects [points, seeds, n] around `means`; scenarios, domains, seeds and points vary."""
    scenarios = 0.1 * rng.normal(size=10)[DOMAINS] + 0.2 * rng.normal(size=70)
    by_seed = 0.03 * rng.normal(size=(1, seeds, 1)) + 0.03 * rng.normal(size=(5, seeds, 1))
    return np.array(means)[:, np.newaxis, np.newaxis] + by_seed + scenarios + 0.2 * rng.normal(size=(5, seeds, 70))


def _find(means: tuple[float, ...], seed: int = 0, seeds: int = 5, share: float = 0.25) -> Knee:
    rng = np.random.default_rng(seed)
    return find_knee(NS, _curve(means, rng, seeds), DOMAINS, rng, share)


@pytest.mark.parametrize("seeds", [3, 8])
def test_finds_a_planted_knee(seeds: int) -> None:
    knee = _find((0.05, 0.3, 0.58, 0.6, 0.6), seeds=seeds)
    assert knee.n in (10, 20)
    assert knee.low_n is not None and knee.high_n is not None
    assert knee.low_n <= 10 <= knee.high_n
    assert knee.reason is None


def test_an_effect_that_is_there_at_once_has_its_knee_at_one_example() -> None:
    assert _find((0.6,) * 5).n == 1


def test_a_curve_that_still_rises_has_no_knee_and_says_that_twenty_are_too_few() -> None:
    knee = _find((0.02, 0.05, 0.1, 0.2, 0.6))
    assert knee.n is None
    assert (knee.low_n, knee.high_n) == (50, 50)
    assert [point.too_few for point in knee.points] == [True, True, True, True, False]
    assert knee.reason == "no number of examples below 50 is shown to be enough"


def test_a_curve_on_the_edge_is_left_open() -> None:
    knee = _find((0.0, 0.0, 0.0, 0.45, 0.6))
    assert knee.n is None
    assert (knee.low_n, knee.high_n) == (20, 50)


def test_noise_practically_never_has_a_knee() -> None:
    rng = np.random.default_rng(1)
    sweeps = [find_knee(NS, _curve((0.0,) * 5, rng, seeds=3 + 5 * (i % 2)), DOMAINS, rng, resamples=1000) for i in range(400)]
    assert sum(knee.n is not None for knee in sweeps) <= 4  # kneed: 399 of 400
    assert sum(knee.low_n is not None for knee in sweeps) <= 20  # the largest number shown above 0: 2.5 % by construction
    assert sweeps[0].reason == "the effect at 50 examples is not shown to be above 0"


def test_a_looser_share_never_moves_the_knee_up() -> None:
    for seed in range(5):
        tight, loose = (_find((0.1, 0.3, 0.45, 0.55, 0.6), seed=seed, share=share).n or 50 for share in (0.1, 0.4))
        assert loose <= tight


def test_scale_does_not_matter() -> None:
    effects = _curve((0.05, 0.3, 0.58, 0.6, 0.6), np.random.default_rng(0))
    one, other = (find_knee(NS, scale * effects, DOMAINS, np.random.default_rng(1)) for scale in (1.0, 40.0))
    assert (one.n, one.low_n, one.high_n) == (other.n, other.low_n, other.high_n)


def test_the_table_holds_every_point() -> None:
    effects = _curve((0.05, 0.3, 0.58, 0.6, 0.6), np.random.default_rng(0))
    knee = find_knee(NS, effects, DOMAINS, np.random.default_rng(1))
    assert tuple(point.n for point in knee.points) == NS
    assert [point.effect.value for point in knee.points] == pytest.approx(effects.mean(axis=(1, 2)))
    assert knee.points[1].shortfall.value == pytest.approx(0.75 * effects[4].mean() - effects[1].mean())


def test_a_dead_curve_is_refused_with_the_reason() -> None:
    with pytest.raises(DegenerateSample, match="no variance"):
        find_knee(NS, np.zeros((5, 3, 70)), DOMAINS, np.random.default_rng(0))


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_refuses_a_share_of_nothing_or_all(share: float) -> None:
    with pytest.raises(ValueError, match=r"^share: "):
        find_knee(NS, _curve((0.0,) * 5, np.random.default_rng(0)), DOMAINS, np.random.default_rng(0), share)
