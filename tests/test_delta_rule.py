"""harness/recorders/delta_rule.py against the library's two implementations: outputs, last state, states on the way."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers.models.qwen3_5 import modeling_qwen3_5

from harness.recorders.delta_rule import gated_delta_rule
from tests.tolerance import ALGORITHM, ORDER, apart

pytestmark = pytest.mark.numeric


def inputs(batch: int, tokens: int, heads: int = 3, width: int = 8, seed: int = 0) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    q, k, v = (torch.randn(batch, tokens, heads, width, generator=generator) for _ in range(3))
    g = -torch.rand(batch, tokens, heads, generator=generator)
    return q, k, v, g, torch.rand(batch, tokens, heads, generator=generator)


def library(
    q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor, how: str = "chunk", state: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    rule = getattr(modeling_qwen3_5, f"torch_{how}_gated_delta_rule")
    out: tuple[Tensor, Tensor] = rule(q, k, v, g=g, beta=beta, initial_state=state, output_final_state=True, use_qk_l2norm_in_kernel=True)
    return out


@pytest.mark.parametrize("tokens", [1, 15, 16, 17, 50, 64])
@pytest.mark.parametrize("how", ["chunk", "recurrent"])
def test_outputs_and_last_state_are_the_librarys(tokens: int, how: str) -> None:
    given = inputs(2, tokens)
    out, last, states = gated_delta_rule(*given)
    expected, expected_last = library(*given, how=how)
    assert apart(out, expected) <= ALGORITHM
    assert apart(last, expected_last) <= ALGORITHM
    assert states is None


def test_a_state_on_the_way_is_the_last_state_of_the_tokens_before_it() -> None:
    given = inputs(3, 50)
    positions = torch.tensor([[0, 15], [16, 49], [31, 32]])
    _, _, states = gated_delta_rule(*given, positions=positions)
    assert states is not None
    for row, reads in enumerate(positions.tolist()):
        for read, at in enumerate(reads):
            _, expected = library(*(x[row : row + 1, : at + 1] for x in given), how="recurrent")
            assert apart(states[row, read], expected[0]) <= ALGORITHM


def test_two_segments_are_one() -> None:
    given = inputs(2, 41)
    whole, last, _ = gated_delta_rule(*given)
    first, between, _ = gated_delta_rule(*(x[:, :19] for x in given))
    second, end, _ = gated_delta_rule(*(x[:, 19:] for x in given), initial_state=between)  # type: ignore[misc]  # five tensors
    assert apart(torch.cat([first, second], 1), whole) <= ALGORITHM
    assert apart(end, last) <= ALGORITHM


def test_what_stands_behind_a_position_does_not_matter() -> None:
    given, other = inputs(1, 40), inputs(1, 40, seed=1)
    mixed = [torch.cat([x[:, :23], y[:, 23:]], 1) for x, y in zip(given, other, strict=True)]
    at = torch.tensor([[22]])
    states = [gated_delta_rule(*x, positions=at)[2] for x in (given, mixed)]
    assert apart(states[0], states[1]) <= ORDER


def test_gradients_are_the_librarys() -> None:
    given = [x.requires_grad_() for x in inputs(2, 20)]
    ours = torch.autograd.grad(gated_delta_rule(*given)[0].square().sum(), given)
    theirs = torch.autograd.grad(library(*given)[0].square().sum(), given)
    for one, other in zip(ours, theirs, strict=True):
        assert apart(one, other) <= ALGORITHM


def test_the_type_of_the_queries_is_kept_and_states_are_float32() -> None:
    given = [x.bfloat16() for x in inputs(1, 20)]
    out, last, states = gated_delta_rule(*given, positions=torch.tensor([[3]]))
    assert (out.dtype, last.dtype) == (torch.bfloat16, torch.float32)
    assert states is not None and states.dtype == torch.float32


@pytest.mark.parametrize("fading", [10.0, 200.0])
def test_states_that_fade_within_a_token_are_the_librarys(fading: float) -> None:
    q, k, v, g, beta = inputs(2, 50)
    out, last, _ = gated_delta_rule(q, k, v, fading * g, beta)
    expected, expected_last = library(q, k, v, fading * g, beta)
    assert apart(out, expected) <= ALGORITHM
    assert apart(last, expected_last) <= ALGORITHM


def test_heads_that_share_a_key_are_those_of_repeated_keys() -> None:
    q, k, v, g, beta = inputs(2, 90, heads=6)
    out, last, _ = gated_delta_rule(q[:, :, :2], k[:, :, :2], v, g, beta)
    repeated = (x[:, :, :2].repeat_interleave(3, dim=2) for x in (q, k))
    expected, expected_last = library(*repeated, v, g, beta)
    assert apart(out, expected) <= ALGORITHM
    assert apart(last, expected_last) <= ALGORITHM


def test_the_last_state_is_left_out_where_no_one_asks() -> None:
    given = inputs(2, 50)
    out, last, _ = gated_delta_rule(*given, ending=False)  # type: ignore[misc]  # five tensors
    assert last is None
    assert apart(out, gated_delta_rule(*given)[0]) == 0
