"""estimated: a degenerate sample becomes a reason, any other error stays an error."""

from __future__ import annotations

import pytest

from harness.analysis.estimated import Answer, Estimated, estimated
from harness.analysis.sample import DegenerateSample
from harness.data.measurement import Estimate


def _refuse(error: Exception) -> Estimate:
    raise error


def test_an_estimate_comes_without_a_reason() -> None:
    estimate = Estimate.exact(0.5, 8, 0.05)
    assert estimated(lambda: estimate) == Estimated(estimate, None)


def test_a_degenerate_sample_is_a_reason_and_never_a_zero() -> None:
    found = estimated(lambda: _refuse(DegenerateSample("no variance: the mean is 0 in each of 8 clusters")))
    assert found == Estimated(None, "no variance: the mean is 0 in each of 8 clusters")


@pytest.mark.parametrize("mistake", [ValueError("values: is empty"), KeyError("q9.effect")])
def test_a_mistake_passes_through(mistake: Exception) -> None:
    with pytest.raises(type(mistake)):
        estimated(lambda: _refuse(mistake))


def test_an_answer_that_the_data_do_not_give_has_no_words() -> None:
    assert Answer(None, "both fit").words is None and Answer("continuous").reason is None
