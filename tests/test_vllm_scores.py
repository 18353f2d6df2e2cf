"""harness/engines/vllm/scores.py: the log-softmax of chosen tokens, however the rows are cut, and what a request that ran twice is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from harness.engines.vllm import scores as vllm_scores
from harness.engines.vllm.scores import Scores, log_probabilities
from tests.tolerance import ORDER, apart

pytestmark = pytest.mark.numeric


@pytest.mark.parametrize("rows", [1, 3, 7, 256])
def test_they_are_the_log_softmax_of_each_row(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_scores, "ROWS", rows)
    monkeypatch.setattr(vllm_scores, "CACHED", 23)  # two rows of eleven at a time
    generator = torch.Generator().manual_seed(0)
    hidden, head = torch.randn(7, 5, generator=generator), torch.randn(11, 5, generator=generator) * 20
    tokens = torch.randint(11, (7,), generator=generator)
    seen: list[int] = []

    def logits_of(part: Tensor) -> Tensor:
        seen.append(len(part))
        return part @ head.T

    found = log_probabilities(logits_of, hidden, tokens)
    assert found is not None
    assert apart(found, (hidden @ head.T).log_softmax(-1)[torch.arange(7), tokens]) <= ORDER
    assert sum(seen) == 7 and max(seen) <= rows


def test_half_precision_logits_are_summed_in_float32() -> None:
    logits = torch.zeros(1, 100_000, dtype=torch.bfloat16)
    found = log_probabilities(lambda _: logits, torch.zeros(1, 1), torch.tensor([3]))
    assert found is not None and found.dtype == torch.float32
    assert apart(found.item(), -np.log(100_000)) <= ORDER


def test_a_rank_that_gets_no_logits_has_no_numbers() -> None:
    assert log_probabilities(lambda _: None, torch.zeros(2, 1), torch.tensor([0, 1])) is None


@given(st.lists(st.integers(1, 5), min_size=1, max_size=8), st.integers(0, 8))
def test_chunks_and_an_interrupted_run_add_up_to_one_run(chunks: list[int], interrupted: int) -> None:
    scores, values = Scores(10), [float(i) for i in range(sum(chunks))]
    for pieces, offset in ((chunks[:interrupted], 100.0), (chunks, 0.0)):
        at = 0
        for size in pieces:
            scores.add("a", at, [value + offset for value in values[at : at + size]])
            at += size
    assert scores.pop("a") == values
    assert scores.pop("a") is None


def test_a_run_that_goes_on_from_a_cached_block_replaces_what_it_computes_again() -> None:
    scores = Scores(10)
    scores.add("a", 0, [1.0, 2.0, 3.0])
    scores.add("a", 1, [20.0, 30.0, 40.0])
    assert scores.pop("a") == [1.0, 20.0, 30.0, 40.0]


def test_a_request_whose_first_tokens_were_skipped_stays_short() -> None:
    scores = Scores(10)
    scores.add("a", 2, [3.0, 4.0])
    assert scores.pop("a") == []
    scores.add("b", 0, [1.0])
    scores.add("b", 2, [3.0])
    assert scores.pop("b") == [1.0]


def test_what_nobody_fetches_is_dropped() -> None:
    scores = Scores(2)
    for key in "abc":
        scores.add(key, 0, [1.0])
    assert [scores.pop(key) for key in "abc"] == [None, [1.0], [1.0]]
