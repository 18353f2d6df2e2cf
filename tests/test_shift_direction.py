"""Cross-fitted projection: finds a shared direction, expects nothing of noise, leaks neither seed nor fold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analysis.replicates import replicated_interval
from harness.analysis.sample import DegenerateSample
from harness.analysis.shift_direction import direction_projection, project_on

FOLDS = np.arange(20) % 4


def _noise(seed: int, seeds: int = 3, features: int = 30) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(seeds, 20, features))


def test_a_shared_direction_is_found_and_tells_the_arms_apart() -> None:
    direction = np.eye(30)[0]
    trained, sham, opposite = 3 * direction + _noise(0), _noise(1), -3 * direction + _noise(2)
    assert direction_projection(trained, FOLDS).mean() == pytest.approx(3, abs=0.4)
    assert project_on(sham, trained, FOLDS).mean() == pytest.approx(0, abs=0.4)
    assert project_on(opposite, trained, FOLDS).mean() == pytest.approx(-3, abs=0.4)


def test_noise_projects_on_itself_around_zero_as_no_fit_in_sample_would() -> None:
    means = np.array([direction_projection(_noise(seed), FOLDS).mean() for seed in range(200)])
    assert abs(means.mean()) < 3 * means.std() / np.sqrt(200)


@pytest.mark.parametrize("common", [0.0, 1.0])
def test_an_arm_like_the_trained_one_is_not_told_apart(common: float) -> None:
    rng = np.random.default_rng(3)

    def arm() -> np.ndarray:
        return np.asarray(common * np.eye(30)[0] + 0.3 * rng.normal(size=(3, 1, 30)) + 0.3 * rng.normal(size=(3, 20, 30)))

    told_apart = 0
    for _ in range(200):
        trained, sham = arm(), arm()
        difference = direction_projection(trained, FOLDS) - project_on(sham, trained, FOLDS)
        told_apart += replicated_interval(difference, np.arange(20) % 8, 0.05, rng, resamples=1000).low > 0
    assert told_apart <= 16  # 2.5 % to 6 % expected, see the head of the module


def test_what_one_seed_or_one_fold_shares_is_no_direction() -> None:
    rng = np.random.default_rng(0)
    by_seed = np.array([_noise(s) + 5 * rng.normal(size=(3, 1, 30)) for s in range(100)])
    by_fold = np.array([_noise(s) + 5 * rng.normal(size=(4, 30))[FOLDS] for s in range(100)])
    for samples in (by_seed, by_fold):
        means = np.array([direction_projection(sample, FOLDS).mean() for sample in samples])
        assert means.mean() < 3 * means.std() / 10  # leaving one out can only push below 0


def test_a_scenario_does_not_move_its_own_direction() -> None:
    trained = 1 + _noise(0)
    before = project_on(np.ones_like(trained), trained, FOLDS)
    trained[1, 0] += 100
    after = project_on(np.ones_like(trained), trained, FOLDS)
    assert after[1] == pytest.approx(before[1])
    same_fold = FOLDS == 0
    assert after[0, same_fold] == pytest.approx(before[0, same_fold])
    assert not np.allclose(after[0, ~same_fold], before[0, ~same_fold])


def test_scale_carries_over_from_the_arm_and_not_from_the_trained() -> None:
    arm, trained = _noise(1), 1 + _noise(0)
    assert project_on(2 * arm, 7 * trained, FOLDS) == pytest.approx(2 * project_on(arm, trained, FOLDS))


def test_an_arm_may_have_fewer_seeds() -> None:
    arm, trained = _noise(1), 1 + _noise(0)
    assert project_on(arm[:2], trained, FOLDS) == pytest.approx(project_on(arm, trained, FOLDS)[:2])


def test_an_arm_that_changed_nothing_gives_no_direction() -> None:
    with pytest.raises(DegenerateSample, match="no direction to project on"):
        direction_projection(np.zeros((3, 20, 4)), FOLDS)


@pytest.mark.parametrize(
    ("arm", "trained", "folds", "named"),
    [
        (_noise(0), np.where(np.arange(30) == 3, np.nan, _noise(0)), FOLDS, "trained: 60"),
        (_noise(0) * np.inf, _noise(0), FOLDS, "arm: "),
        (_noise(0), _noise(0, seeds=1), FOLDS, "trained: one seed"),
        (_noise(0, seeds=4), _noise(0), FOLDS, "arm: shape"),
        (_noise(0), _noise(0), FOLDS[:3], "folds: shape"),
        (_noise(0), _noise(0), np.zeros(20), "folds: a single"),
    ],
)
def test_refuses_by_name(arm: np.ndarray, trained: np.ndarray, folds: np.ndarray, named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named}"):
        project_on(arm, trained, folds)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_turning_the_space_of_features_changes_nothing(seed: int) -> None:
    trained, sham = _noise(seed) + 1, _noise(seed + 1)
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(30, 30)))[0]
    assert project_on(sham @ turn, trained @ turn, FOLDS) == pytest.approx(project_on(sham, trained, FOLDS), abs=1e-9)
