"""exact_interval against scipy; share_interval for clustered flags, none set included."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.analysis.proportions import exact_interval, share_interval

counts = st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(counts, st.sampled_from([0.002, 0.01, 0.05]))
def test_exact_agrees_with_scipy(kn: tuple[int, int], alpha: float) -> None:
    k, n = kn
    estimate = exact_interval(k, n, alpha)
    reference = stats.binomtest(k, n).proportion_ci(1 - alpha, method="exact")
    assert (estimate.low_alpha, estimate.high_alpha) == pytest.approx((reference.low, reference.high), abs=1e-9)
    assert 0 <= estimate.low_alpha <= estimate.low <= estimate.value <= estimate.high <= estimate.high_alpha <= 1


@given(counts)
def test_exact_is_symmetric_in_success_and_failure(kn: tuple[int, int]) -> None:
    k, n = kn
    one, other = exact_interval(k, n, 0.05), exact_interval(n - k, n, 0.05)
    assert (one.low, one.high) == pytest.approx((1 - other.high, 1 - other.low), abs=1e-9)


@pytest.mark.parametrize("set_flags", [0, 40])
def test_no_flag_set_still_has_an_interval(set_flags: int) -> None:
    estimate = share_interval(np.arange(40) < set_flags, np.repeat(np.arange(10), 4), 0.05)
    assert estimate.value == set_flags / 40
    assert 0.1 < estimate.high - estimate.low < 0.2


def test_flags_that_fall_in_whole_domains_count_as_domains() -> None:
    domains = np.repeat(np.arange(20), 7)
    by_domain = share_interval(domains % 4 == 0, domains, 0.05)
    exact = exact_interval(5, 20, 0.05)
    assert by_domain.high - by_domain.low == pytest.approx(exact.high - exact.low, rel=0.1)


@pytest.mark.parametrize("clustering", [0.0, 0.2])
def test_covers_clustered_shares(clustering: float) -> None:
    rng = np.random.default_rng(2)
    domains = np.repeat(np.arange(18), 7)
    repeats, share = 500, 0.25
    covered = 0
    for _ in range(repeats):
        rates = rng.beta(share * (1 / clustering - 1), (1 - share) * (1 / clustering - 1), 18) if clustering else np.full(18, share)
        estimate = share_interval(rng.random(126) < rates[domains], domains, 0.05)
        covered += estimate.low <= share <= estimate.high
    assert covered / repeats >= 0.935  # exact intervals cover at least 95 %; standard error .01


@pytest.mark.parametrize(("k", "n", "named"), [(1, 0, "n"), (-1, 3, "k"), (4, 3, "k")])
def test_exact_refuses_impossible_counts(k: int, n: int, named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named}: "):
        exact_interval(k, n, 0.05)


@pytest.mark.parametrize("flags", [[0.5, 1.0], [np.nan, 1.0], [1.0], []])
def test_share_refuses_what_are_no_flags(flags: list[float]) -> None:
    with pytest.raises(ValueError, match=r"^flags: "):
        share_interval(flags, None, 0.05)
