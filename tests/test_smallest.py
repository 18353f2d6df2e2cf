"""harness/analysis/smallest.py: large, small and untold effects; what is called small errs as seldom as it says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.replicates import replicated_interval
from harness.analysis.sample import DegenerateSample
from harness.analysis.smallest import Sized, sized
from harness.data.measurement import Estimate
from harness.data.threshold import SMALLEST
from harness.gate.verdict.thresholds import load_thresholds
from tests.bench import bare_lab


def around(value: float, half: float, whole: float = 1.0, share: float = 0.1) -> Sized:
    """An effect of `value` ± `half` against a `whole` that is known exactly."""

    def interval(k: float) -> Estimate:
        at = value + k * whole
        return Estimate(at, at - half, at + half, at - half, at + half, 0.05, 40, 20)

    return sized(interval, share)


@pytest.mark.parametrize(
    ("value", "half", "size"),
    [
        (0.5, 0.2, "above"),
        (-0.5, 0.2, "below"),
        (0.0, 0.05, "less"),
        (0.05, 0.02, "less"),  # shown to differ from 0, and to be small
        (0.09, 0.02, "above"),  # shown to differ from 0, not to be small
        (0.0, 0.2, None),
    ],
)
def test_four_answers(value: float, half: float, size: str | None) -> None:
    assert around(value, half).size == size


def test_a_small_effect_says_its_direction_and_an_open_one_its_price() -> None:
    assert str(around(-0.05, 0.02).answer("more", "less", "all").reason) == "-0.05 [-0.07, -0.03], shown to be below 0"
    assert str(around(0.0, 0.2).answer("more", "less", "all").reason) == (
        "0 [-0.2, 0.2] is shown neither to differ from 0 nor to be less than 10% of all (0.1); about 4.0 times the data would tell"
    )
    assert str(around(0.0, 5.0).answer("more", "less", "all").reason).endswith("more data alone will hardly tell")


def test_against_a_whole_that_is_not_positive_nothing_is_small() -> None:
    assert around(0.0, 0.05, whole=-1.0).size is None and around(0.0, 0.05, whole=0.0).size is None


@given(st.floats(-2, 2), st.floats(0.001, 2), st.floats(0.01, 10))
def test_units_do_not_matter(value: float, half: float, unit: float) -> None:
    assert around(value, half).size == around(unit * value, unit * half, whole=unit).size


def test_data_without_an_interval_leave_their_reason_and_other_shares_are_refused() -> None:
    def degenerate(share: float) -> Estimate:
        raise DegenerateSample("no variance")

    found = sized(degenerate, 0.1)
    assert found.size is None and found.answer("more", "less", "all").reason == "no variance"
    with pytest.raises(ValueError, match="share: is 1, must lie strictly between 0 and 1"):
        around(0.0, 0.1, share=1)


def test_an_effect_as_large_as_the_smallest_of_interest_is_seldom_called_less() -> None:
    """In 2.5 % of 300 simulated sets, at most 6 % by luck; the whole is measured on the same seeds and scenarios."""
    rng, called = np.random.default_rng(0), 0
    for _ in range(300):
        whole = 1 + 0.3 * rng.standard_normal((6, 1)) + 0.5 * rng.standard_normal((6, 20))
        effect = 0.1 + 0.05 * rng.standard_normal((6, 1)) + 0.1 * rng.standard_normal((6, 20))
        seed = int(rng.integers(2**32))
        found = sized(lambda k, e=effect, w=whole, s=seed: replicated_interval(e + k * w, None, 0.05, np.random.default_rng(s), 1000), 0.1)  # type: ignore[misc]
        called += found.size == "less"
    assert called / 300 <= 0.06


def test_a_finding_without_a_share_of_its_own_has_a_tenth(tmp_path: Path) -> None:
    lab = bare_lab(tmp_path)
    assert lab.smallest("q1.onset") == SMALLEST == 0.1
    path = tmp_path / "thresholds.toml"
    path.write_text('["q7.separation"]\nkind = "finding"\nsmallest = 0.2\nreason = "r"\n', encoding="utf-8")
    assert replace(lab, thresholds=load_thresholds(path)).smallest("q7.separation") == 0.2
