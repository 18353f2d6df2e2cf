"""Verdicts: what passes, what fails, and that everything between and everything broken is inconclusive."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data.measurement import Estimate, Measurement, Spread
from harness.data.threshold import Threshold
from harness.data.verdict import Verdict
from harness.gate.verdict.verdicts import noise_of, verdict_on

NUMBER = st.floats(-1e3, 1e3, allow_nan=False).map(lambda value: round(value, 3))
WIDTH = st.floats(0.01, 1e3).map(lambda value: round(value, 3))


def measured(
    value: float, low: float, high: float, *, low_alpha: float | None = None, high_alpha: float | None = None, **more: Any
) -> Measurement:
    alphas = (low if low_alpha is None else low_alpha, high if high_alpha is None else high_alpha)
    return Measurement("q1.x", "b", "nats", Estimate(value, low, high, *alphas, alpha=0.002, n=40, clusters=8), **more)


def bound(**fields: Any) -> Threshold:
    return Threshold("q1.x", "check", "why", alpha=0.002, **fields)


def outcome(measurement: Measurement, threshold: Threshold | None) -> str:
    return verdict_on(measurement, threshold).outcome


@st.composite
def measurements(draw: st.DrawFn) -> Measurement:
    value = draw(NUMBER)
    low, high, further_low, further_high = (draw(WIDTH) for _ in range(4))
    return measured(value, value - low, value + high, low_alpha=value - low - further_low, high_alpha=value + high + further_high)


def mirrored(measurement: Measurement) -> Measurement:
    estimate = measurement.estimate
    assert estimate is not None
    turned = replace(
        estimate,
        value=-estimate.value,
        low=-estimate.high,
        high=-estimate.low,
        low_alpha=-estimate.high_alpha,
        high_alpha=-estimate.low_alpha,
    )
    return replace(measurement, estimate=turned)


def shifted(measurement: Measurement, by: float) -> Measurement:
    estimate = measurement.estimate
    assert estimate is not None
    names = ("value", "low", "high", "low_alpha", "high_alpha")
    return replace(measurement, estimate=replace(estimate, **{name: getattr(estimate, name) + by for name in names}))


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(0.2, 0.4, "pass"), (-0.3, 0.0, "fail"), (0.05, 0.4, "inconclusive"), (0.1, 0.4, "inconclusive")]
)
def test_superiority_wants_the_whole_interval_beyond_the_bound(low: float, high: float, expected: str) -> None:
    assert outcome(measured((low + high) / 2, low, high), bound(at_least=0.1)) == expected


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.01, 0.3, "pass"), (-0.02, 0.03, "fail"), (-0.02, 0.05, "inconclusive"), (0.01, 0.03, "pass"), (-0.3, -0.1, "fail")],
)
def test_with_a_smallest_effect_of_interest_it_fails_where_less_is_shown(low: float, high: float, expected: str) -> None:
    assert outcome(measured((low + high) / 2, low, high), bound(at_least=0, smallest=0.04)) == expected


def test_an_effect_that_passes_and_is_less_than_matters_says_so_and_so_does_one_that_fails() -> None:
    passed = verdict_on(measured(0.02, 0.01, 0.03), bound(at_least=0, smallest=0.04)).message
    assert passed.endswith("above the 0 it needs, but less than the 0.04 that would matter: nothing to do.")
    failed = verdict_on(measured(0.0, -0.02, 0.03), bound(at_least=0, smallest=0.04)).message
    assert "at alpha 0.002, less than the 0.04 that would matter, but should be above the 0 it needs" in failed


def test_failing_needs_the_interval_at_the_gates_alpha() -> None:
    wide = measured(0, -0.05, 0.05, low_alpha=-0.2, high_alpha=0.2)
    assert outcome(wide, bound(at_least=0.1)) == "inconclusive"


@pytest.mark.parametrize(("value", "expected"), [(20, "pass"), (19, "pass"), (21, "fail")])
def test_an_exact_value_on_the_bound_passes(value: float, expected: str) -> None:
    assert outcome(measured(value, value, value), bound(at_most=20)) == expected


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(-0.2, 0.1, "pass"), (-0.2, -0.1, "pass"), (-0.6, -0.4, "fail"), (-0.4, -0.1, "fail"), (-0.4, 0.1, "inconclusive")],
)
def test_non_inferiority_passes_inside_the_margin_and_fails_on_a_proven_drop(low: float, high: float, expected: str) -> None:
    assert outcome(measured((low + high) / 2, low, high), bound(margin=0.25)) == expected


@pytest.mark.parametrize(
    ("low", "high", "more", "fields", "lost"),
    [
        (-0.2, -0.1, {}, {"margin": 0.25}, True),
        (0.1, 0.2, {}, {"margin": 0.25, "worse": "higher"}, True),
        (-0.2, 0.0, {}, {"margin": 0.25}, False),
        (0.1, 0.2, {}, {"margin": 0.25}, False),
        (-0.2, -0.1, {"unchanged": 0.0}, {"at_least": -0.25}, True),
        (-0.2, -0.1, {}, {"at_least": -0.25}, False),  # no earlier subject is compared
        (0.8, 0.9, {"unchanged": 1.0}, {"at_least": 0.75}, True),  # a share of what there was
        (0.8, 1.1, {"unchanged": 1.0}, {"at_least": 0.75}, False),
        (0.8, 0.9, {"unchanged": 0.0}, {"at_most": 1.0}, True),
    ],
)
def test_a_pass_on_the_worse_side_of_unchanged_is_a_proven_loss(
    low: float, high: float, more: dict[str, Any], fields: dict[str, Any], lost: bool
) -> None:
    verdict = verdict_on(measured((low + high) / 2, low, high, **more), bound(**fields))
    assert (verdict.outcome, verdict.proven_loss) == ("pass", lost)
    assert ("a loss is proven" in verdict.message) == lost != ("nothing to do" in verdict.message)


def test_a_failure_is_no_tolerated_loss() -> None:
    verdict = verdict_on(measured(-0.5, -0.6, -0.4), bound(margin=0.25))
    assert (verdict.outcome, verdict.proven_loss) == ("fail", False)


def test_a_loss_that_two_seeds_may_show_is_still_said() -> None:
    verdict = verdict_on(replace(measured(-0.3, -0.31, -0.29), spread=WIDE), bound(margin=0.25))
    assert (verdict.outcome, verdict.proven_loss) == ("pass", True)


def test_no_change_at_all_passes_non_inferiority() -> None:
    assert outcome(measured(0, 0, 0), bound(margin=0)) == "pass"


@given(measurements(), NUMBER)
def test_mirrored_directions_agree(measurement: Measurement, m: float) -> None:
    assert outcome(measurement, bound(at_least=m)) == outcome(mirrored(measurement), bound(at_most=-m))
    margin = abs(m)
    assert outcome(measurement, bound(margin=margin)) == outcome(mirrored(measurement), bound(margin=margin, worse="higher"))


@given(measurements(), st.floats(0, 100), st.sampled_from([{"at_least": 0.5}, {"margin": 0.25}]))
def test_a_better_number_never_gets_a_worse_verdict(measurement: Measurement, by: float, fields: dict[str, float]) -> None:
    order = ["fail", "inconclusive", "pass"]
    assert order.index(outcome(measurement, bound(**fields))) <= order.index(outcome(shifted(measurement, by), bound(**fields)))


@given(measurements())
def test_an_interval_that_straddles_the_bound_neither_passes_nor_fails(measurement: Measurement) -> None:
    estimate = measurement.estimate
    assert estimate is not None
    for m in (estimate.value, (estimate.low + estimate.value) / 2, (estimate.high + estimate.value) / 2):
        assert outcome(measurement, bound(at_least=m)) == outcome(measurement, bound(at_most=m)) == "inconclusive"


@given(measurements(), NUMBER)
def test_a_stricter_bound_never_turns_a_fail_into_a_pass(measurement: Measurement, m: float) -> None:
    if outcome(measurement, bound(at_least=m)) == "fail":
        assert outcome(measurement, bound(at_least=m + 1)) == "fail"


@given(
    measurements(),
    NUMBER,
    st.sampled_from(["value", "low", "high", "low_alpha", "high_alpha"]),
    st.sampled_from([math.nan, math.inf, -math.inf]),
)
def test_a_number_that_is_not_finite_is_inconclusive_with_the_reason(measurement: Measurement, m: float, name: str, broken: float) -> None:
    assert measurement.estimate is not None
    damaged = replace(measurement, estimate=replace(measurement.estimate, **{name: broken}))
    for threshold in (bound(at_least=m), bound(margin=abs(m)), None):
        verdict = verdict_on(damaged, threshold)
        assert verdict.outcome == "inconclusive" and f"{name} is {broken}" in verdict.message


def test_no_estimate_is_inconclusive_with_the_reason() -> None:
    verdict = verdict_on(Measurement("q1.x", "b", "nats", reason="all scenarios were equal"), bound(at_least=0))
    assert (verdict.outcome, verdict.message) == ("inconclusive", "q1.x has no answer: all scenarios were equal.")


def test_not_applicable_gives_its_reason() -> None:
    verdict = verdict_on(Measurement("q7.x", "b", "", reason="no Gated DeltaNet layers", not_applicable=True), bound(at_least=0))
    assert (verdict.outcome, verdict.message) == ("not_applicable", "q7.x does not apply: no Gated DeltaNet layers.")


def test_an_interval_at_another_alpha_than_the_thresholds_is_an_error() -> None:
    verdict = verdict_on(measured(0, -1, 1), replace(bound(at_least=0), alpha=0.001))
    assert verdict.outcome == "error" and "alpha 0.002, the threshold asks for 0.001" in verdict.message


@pytest.mark.parametrize(("answer", "expected"), [("continuous", "settled"), (None, "inconclusive")])
def test_a_finding_is_settled_by_its_answer(answer: str | None, expected: str) -> None:
    assert outcome(Measurement("q1.onset", "b", "examples", answer=answer), None) == expected


@pytest.mark.parametrize(("answer", "expected"), [("localized", "pass"), ("diffuse", "fail"), (None, "inconclusive")])
def test_a_finding_blocks_only_with_an_expectation(answer: str | None, expected: str) -> None:
    threshold = Threshold("q3.localization", "finding", "why", expect="localized")
    assert outcome(Measurement("q3.localization", "b", "", answer=answer), threshold) == expected


def test_a_number_without_a_threshold_is_a_settled_finding() -> None:
    verdict = verdict_on(measured(0.3, 0.2, 0.4), None)
    assert (verdict.outcome, verdict.answer) == ("settled", "0.3 nats")


def test_a_number_beside_a_reason_for_no_answer_settles_nothing() -> None:
    verdict = verdict_on(replace(measured(0.3, 0.2, 0.4), reason="there is nothing to compare with"), None)
    assert verdict.outcome == "inconclusive" and "nothing to compare with" in verdict.message


def test_inconclusive_names_the_scenarios_that_would_settle_it() -> None:
    verdict = verdict_on(measured(0.3, 0.0, 0.6), bound(at_least=0.1))
    assert verdict.n_to_resolve == math.ceil(40 * (0.3 / 0.2) ** 2) and "about 90 scenarios would settle it (now 40)" in verdict.message


@given(measurements(), NUMBER)
def test_so_many_scenarios_would_indeed_settle_it(measurement: Measurement, m: float) -> None:
    verdict, estimate = verdict_on(measurement, bound(at_least=m)), measurement.estimate
    assert estimate is not None
    if verdict.n_to_resolve is not None:
        assert verdict.outcome == "inconclusive" and verdict.n_to_resolve > estimate.n
        shrink = math.sqrt(estimate.n / (verdict.n_to_resolve + 1))
        names = ("low", "high", "low_alpha", "high_alpha")
        narrower = replace(estimate, **{name: estimate.value + (getattr(estimate, name) - estimate.value) * shrink for name in names})
        assert outcome(replace(measurement, estimate=narrower), bound(at_least=m)) in ("pass", "fail")


@pytest.mark.parametrize("fields", [{"at_least": -1}, {"at_most": 1}, {"margin": 0.25}, {"expect": "right"}, None])
def test_nothing_measured_neither_passes_nor_settles(fields: dict[str, Any] | None) -> None:
    threshold = None if fields is None else bound(**fields)
    for estimate in (Estimate.exact(0.0, 0, 0.002), Estimate(0.0, -0.1, 0.1, -0.1, 0.1, 0.002, 0, 0)):
        verdict = verdict_on(Measurement("q1.x", "b", "nats", estimate, answer="right"), threshold)
        assert verdict.outcome == "inconclusive" and "nothing was measured (n = 0)" in verdict.message


@pytest.mark.parametrize(("low", "high"), [(1e-7, 3e-7), (-3e-7, -1e-7), (-5e-5, 5e-5)])
def test_a_difference_that_is_rounding_says_nothing_of_superiority_and_names_no_scenarios(low: float, high: float) -> None:
    """As of a model whose replies never change: all that its numbers differ by is the order in which they were added up."""
    for fields in ({"at_least": 0.0}, {"at_most": 0.0}):
        verdict = verdict_on(measured((low + high) / 2, low, high), bound(**fields))
        assert (verdict.outcome, verdict.n_to_resolve) == ("inconclusive", None) and "no more than rounding" in verdict.message
    assert outcome(measured((low + high) / 2, low, high), bound(margin=0.1)) == "pass"


@pytest.mark.parametrize(("source", "says"), [("seeds", "more seeds would narrow it"), ("samples", "more samples of each would narrow it")])
def test_where_something_else_than_scenarios_sets_the_width_no_scenarios_are_promised(source: Any, says: str) -> None:
    found = measured(0.3, 0.0, 0.6)
    assert found.estimate is not None
    verdict = verdict_on(replace(found, estimate=replace(found.estimate, limited_by=source)), bound(at_least=0.1))
    assert verdict.n_to_resolve is None and says in verdict.message and "would settle it" not in verdict.message


@pytest.mark.parametrize(("available", "needed"), [(None, 90), (90, 90), (89, None)])
def test_more_scenarios_than_exist_are_not_promised(available: int | None, needed: int | None) -> None:
    verdict = verdict_on(measured(0.3, 0.0, 0.6, available=available), bound(at_least=0.1))
    assert verdict.n_to_resolve == needed
    assert ("about 90 scenarios would be needed (now 40), and 89 exist" in verdict.message) == (needed is None)


def test_an_estimate_on_the_bound_names_no_number_of_scenarios() -> None:
    assert verdict_on(measured(0.1, -0.2, 0.4), bound(at_least=0.1)).n_to_resolve is None


def test_a_verdict_depends_on_nothing_but_its_arguments() -> None:
    assert verdict_on(measured(0.3, 0.2, 0.4), bound(at_least=0.1)) == verdict_on(measured(0.3, 0.2, 0.4), bound(at_least=0.1))


def test_messages_say_number_interval_bound_and_what_to_do() -> None:
    verdict: Verdict = verdict_on(measured(-0.5, -0.7, -0.3), Threshold("q1.x", "gate", "why", alpha=0.002, margin=0.25))
    assert verdict.message == (
        "q1.x is -0.5 [-0.7, -0.3] nats, [-0.7, -0.3] at alpha 0.002, but should be no more than 0.25 lower than before: "
        "keep the last accepted cycle and look at the scenarios that moved most."
    )


def test_what_moves_in_steps_names_no_number_of_scenarios() -> None:
    verdict = verdict_on(measured(50, 20, 50, stepwise=True), bound(at_most=20))
    assert (verdict.outcome, verdict.n_to_resolve) == ("inconclusive", None)
    assert "how many cannot be said" in verdict.message


# -- two trainings -----------------------------------------------------------------------------------------------------


def outcome_of(measurement: Measurement, spread: Spread | None, **fields: Any) -> str:
    return outcome(replace(measurement, spread=spread), bound(**fields))


WIDE = Spread(0.1, 20)
"""At alpha .002 one in 500 further differences exceeds t = 3.27 times .1."""


@pytest.mark.parametrize(
    ("low", "high", "alone", "knowing"),
    [
        (-0.4, -0.2, "fail", "inconclusive"),  # a proven drop beyond the margin, but two trainings on the same data may differ by it
        (-0.32, 0.05, "inconclusive", "pass"),
        (-0.9, -0.4, "fail", "fail"),
        (-0.1, 0.1, "pass", "pass"),
    ],
)
def test_a_change_that_two_seeds_may_show_is_none(low: float, high: float, alone: str, knowing: str) -> None:
    measurement = measured((low + high) / 2, low, high)
    assert (outcome_of(measurement, None, margin=0.25), outcome_of(measurement, WIDE, margin=0.25)) == (alone, knowing)


def test_the_tolerance_is_the_prediction_limit_of_one_more_difference() -> None:
    """Exact differences of trainings under two seeds: one in 1 / alpha is beyond the limit, from however many adapters it was estimated."""
    rng, level = np.random.default_rng(0), 0.05
    for adapters in (6, 20):
        singles = rng.standard_normal((20_000, adapters + 2))
        spread = math.sqrt(2) * singles[:, :adapters].std(axis=1, ddof=1)
        difference = singles[:, adapters] - singles[:, adapters + 1]
        threshold = Threshold("q1.x", "gate", "why", alpha=level, margin=0.0)
        unit = noise_of(replace(measured(0, 0, 0), spread=Spread(1.0, adapters)), threshold)
        assert (difference < -unit * spread).mean() == pytest.approx(level, abs=0.005)


def test_the_message_says_what_two_seeds_may_show() -> None:
    said = verdict_on(replace(measured(-0.2, -0.3, -0.1), spread=WIDE), bound(margin=0.25)).message
    assert "or than the 0.327 that one in 500 trainings under another seed shows" in said


@given(measurements(), st.floats(0, 50), st.sampled_from([{"at_least": -0.5}, {"margin": 0.25}]))
def test_a_wider_spread_never_makes_a_verdict_worse(measurement: Measurement, deviation: float, fields: dict[str, float]) -> None:
    order = ["fail", "inconclusive", "pass"]
    narrow, wide = (outcome_of(measurement, Spread(value, 20), **fields) for value in (deviation, 2 * deviation))
    assert order.index(narrow) <= order.index(wide)
