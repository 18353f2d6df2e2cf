"""harness/engines/vllm/requests.py and receipts.py: what travels with a request, what is refused by name, and what the receipts prove."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data.errors import InstrumentError
from harness.data.subject import Subject
from harness.engines.vllm.receipts import by_layer, check_receipts, scores_of
from harness.engines.vllm.requests import (
    Dose,
    Request,
    Sampling,
    Spec,
    SteeringRefused,
    check_spec,
    parse_spec,
    vector_bytes,
    vector_digest,
)

SUBJECT = Subject("base", Path("base"), "b")
KNOWN, LAYERS = {"abc"}, 8


@given(
    st.text(),
    st.none() | st.integers(0, 4096),
    st.lists(st.tuples(st.text(), st.integers(), st.floats(allow_nan=False), st.sampled_from(["both", "prefill", "decode"]))),
    st.lists(st.integers()),
    st.booleans(),
)
def test_a_spec_arrives_as_it_was_sent(key: str, given: int | None, doses: list[Any], capture: list[int], score: bool) -> None:
    spec = Spec(key, given, tuple(Dose(*each) for each in doses), tuple(capture), score and bool(given))
    assert parse_spec(spec.dumps()) == spec


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "evals: not valid JSON"),
        ("[]", "evals: found a list, allowed is a JSON object"),
        ('{"dose": []}', "evals: unknown entry 'dose'; allowed: key, given, doses, capture, score"),
        ('{"given": -1}', "evals: given is -1, allowed is a whole number of tokens"),
        ('{"doses": [["abc", 1]]}', r"a dose is \[vector's digest, layer, scale, positions\], found \['abc', 1\]"),
        ('{"doses": [["abc", "1", 1.0, "both"]]}', "a dose is"),
        ('{"capture": ["1"]}', "capture of layers"),
        ('{"score": 1, "given": 2}', "score is 1 with given 2, allowed is true or false, and true from a second token on"),
        ('{"score": true, "given": 0}', "score is True with given 0"),
        ('{"score": true}', "score is True with given None"),
    ],
)
def test_what_is_no_spec_is_refused(text: str, message: str) -> None:
    with pytest.raises(SteeringRefused, match=message):
        parse_spec(text)


@pytest.mark.parametrize(
    ("dose", "message"),
    [
        (["xyz", 1, 1.0, "both"], "steering vector xyz is not loaded; loaded: abc"),
        (["abc", 8, 1.0, "both"], "steering layer 8 is out of range: the model has layers 0 to 7"),
        (["abc", -1, 1.0, "both"], "steering layer -1 is out of range"),
        (["abc", 1, float("nan"), "both"], "steering dose nan is not finite"),
        (["abc", 1, float("inf"), "both"], "steering dose inf is not finite"),
        (["abc", 1, 1.0, "always"], "steering positions 'always': not allowed; allowed: both, prefill, decode"),
    ],
)
def test_a_dose_that_does_not_fit_is_refused_by_name(dose: list[Any], message: str) -> None:
    spec = parse_spec(json.dumps({"key": "k", "doses": [["abc", 7, 1.0, "both"], dose]}))
    with pytest.raises(SteeringRefused, match=message) as caught:
        check_spec(spec, KNOWN, LAYERS)
    assert "\n" not in str(caught.value)


def test_a_spec_that_fits_is_let_through_and_a_recorded_layer_must_exist() -> None:
    check_spec(Spec("k", 3, (Dose("abc", 0), Dose("abc", 7, -2.0, "decode")), (0, 7)), KNOWN, LAYERS)
    with pytest.raises(SteeringRefused, match="recorded layer 8 is out of range"):
        check_spec(Spec("k", capture=(8,)), KNOWN, LAYERS)


@pytest.mark.parametrize("vector", [np.ones(3), np.ones((4, 1)), np.array([1, 2, 3, np.inf])])
def test_a_vector_of_another_width_or_not_finite_is_refused(vector: np.ndarray) -> None:
    with pytest.raises(SteeringRefused, match="must be 4 finite numbers, found shape"):
        vector_bytes(vector.astype(np.float32), 4)


def test_a_vector_is_known_by_its_content() -> None:
    one, other = np.arange(4, dtype=np.float32), np.arange(4, dtype=np.float32) * 2
    assert np.frombuffer(vector_bytes(one, 4), np.float32).tolist() == one.tolist()
    assert vector_digest(vector_bytes(one, 4)) == vector_digest(vector_bytes(one[:], 4)) != vector_digest(vector_bytes(other, 4))


def test_requests_share_a_cache_only_where_adapter_and_steering_are_the_same() -> None:
    plain = Request((1, 2, 3), 2, SUBJECT)
    others = [
        replace(plain, subject=replace(SUBJECT, adapter=Path("a"), adapter_digest="a")),
        replace(plain, doses=(Dose("abc", 1),)),
        replace(plain, doses=(Dose("abc", 2),)),
        replace(plain, doses=(Dose("abc", 1, 2.0),)),
        replace(plain, doses=(Dose("abc", 1, 1.0, "prefill"),)),
    ]
    assert len({plain.salt, *(other.salt for other in others)}) == 6
    assert replace(plain, tokens=(4, 5)).salt == plain.salt


@pytest.mark.parametrize(("positions", "scored", "continued"), [("both", 5, 8), ("prefill", 3, 3), ("decode", 2, 5)])
def test_expected_tokens_are_those_that_were_fed(positions: Any, scored: int, continued: int) -> None:
    request, dose = Request((1, 2, 3, 4, 5), 3, SUBJECT), Dose("abc", 1, 1.0, positions)
    assert request.expected(dose, 1) == scored  # the one token vLLM makes beside a score is not fed back
    assert replace(request, sampling=Sampling(0, 1.0, 9, ())).expected(dose, 4) == continued


def test_receipts_that_fall_short_are_an_error() -> None:
    request = Request((1, 2, 3, 4, 5), 3, SUBJECT, (Dose("abc", 1), Dose("abc", 1, 1.0, "prefill"), Dose("abc", 2)))
    check_receipts([(request, 1)], {1: 8, 2: 5})
    check_receipts([(request, 1)] * 2, {1: 16, 2: 10})
    for steered in ({}, {1: 8}, {1: 7, 2: 5}):
        with pytest.raises(InstrumentError, match=r"vllm steered \d of \d tokens at layer"):
            check_receipts([(request, 1)], steered)


def test_scores_are_those_of_the_one_rank_that_has_the_output_matrix() -> None:
    request, values = Request((1, 2, 3, 4, 5), 3, SUBJECT), np.array([-1.5, -2.5], np.float32)
    assert scores_of(request, [{}, {"k": values.tobytes()}, {"other": b""}], "k").tolist() == [-1.5, -2.5]
    for not_scored in (replace(request, capture=(1,)), replace(request, sampling=Sampling(0, 1.0, 9, ()))):
        assert scores_of(not_scored, [], "k").size == 0 and not not_scored.scored


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], r"vllm scored 0 of 2 tokens"),
        ([[]], r"vllm scored 0 of 2 tokens"),
        ([[-1.0]], r"vllm scored 1 of 2 tokens: not all of them ran through the suite's hooks"),
        ([[-1.0] * 3], r"vllm scored 3 of 2 tokens"),
        ([[-1.0] * 2] * 2, "2 of vllm's workers scored the same request"),
    ],
)
def test_a_request_that_was_not_scored_wholly_and_once_is_an_error(values: list[list[float]], message: str) -> None:
    replies = [{"k": np.array(each, np.float32).tobytes()} for each in values]
    with pytest.raises(InstrumentError, match=message):
        scores_of(Request((1, 2, 3, 4, 5), 3, SUBJECT), replies, "k")


def test_ranks_are_believed_only_as_far_as_all_of_them_go() -> None:
    """Tensor parallel ranks each steer every token; pipeline stages hold other layers."""
    assert by_layer([{"k": {"1": 5}}, {"k": {"1": 4}}], "k") == {1: 4}
    assert by_layer([{"k": {"1": 5}}, {"k": {"2": 5}}], "k") == {1: 5, 2: 5}
    assert by_layer([{"k": {}}], "k") == by_layer([], "k") == {}
