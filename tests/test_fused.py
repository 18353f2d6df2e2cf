"""harness/engines/hf/fused.py and stacked.py: equal to the library, forward and backward; gradients by finite differences."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers.models.qwen3_5 import modeling_qwen3_5

from harness.engines.hf.fused import causal_conv_silu, delta_rule, delta_rule_with_state, faded, gated_rms_norm, rms_norm, rotary, swiglu
from harness.engines.hf.stacked import Rows, StackedLora, together

pytestmark = pytest.mark.numeric

LIBRARY: Any = modeling_qwen3_5
EPS = 1e-6


def draw(*shape: int, seed: int = 0, grad: bool = True, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype).requires_grad_(grad)


ANGLES = draw(2, 5, 1, 2, seed=7, grad=False)  # of four of six entries
WEIGHT, KERNEL = draw(6, seed=9, grad=False), draw(3, 4, seed=8, grad=False)


@pytest.mark.parametrize(
    ("function", "inputs"),
    [
        (lambda x: rms_norm(x, WEIGHT, EPS), (draw(2, 5, 6),)),
        (lambda x, gate: gated_rms_norm(x, gate, WEIGHT, EPS), (draw(2, 5, 6), draw(2, 5, 6, seed=1))),
        (lambda x: rotary(x, ANGLES.cos(), ANGLES.sin()), (draw(2, 5, 3, 6),)),
        (swiglu, (draw(3, 4), draw(3, 4, seed=1))),
        (lambda x: causal_conv_silu(x, KERNEL), (draw(2, 6, 3),)),
        (lambda x: causal_conv_silu(x, KERNEL), (draw(2, 2, 3),)),  # fewer tokens than the kernel is long
    ],
    ids=["rms_norm", "gated_rms_norm", "rotary", "swiglu", "causal_conv_silu", "causal_conv_silu of two tokens"],
)
def test_gradients_are_those_of_finite_differences(function: Any, inputs: tuple[Tensor, ...]) -> None:
    assert torch.autograd.gradcheck(function, inputs)


def test_what_has_faded_counts_nothing_and_is_no_denormal() -> None:
    """A cumulative decay of 700, as the shipped model has within sixty tokens: near the library's, with gradients of finite numbers."""
    query, key, value, g, beta = of_rule(torch.float32, 8)
    found = delta_rule(query, key, value, g - 100, beta).transpose(1, 2)
    library, state = LIBRARY.torch_chunk_gated_delta_rule(
        *(part.transpose(1, 2).repeat_interleave(3, dim=2) for part in (query, key)),
        *(part.transpose(1, 2) for part in (value, g - 100, beta)),
        use_qk_l2norm_in_kernel=True,
        output_final_state=True,
    )
    torch.testing.assert_close(found, library, rtol=1e-5, atol=2e-6)
    torch.testing.assert_close(delta_rule_with_state(query, key, value, g - 100, beta)[1], state, rtol=1e-5, atol=2e-6)
    assert 0 < float(faded(torch.tensor([-700.0]))) < torch.finfo(torch.float32).eps ** 2
    found.sum().backward()
    assert all(part.grad is not None and part.grad.isfinite().all() for part in (query, key, value, g, beta))


def of_rule(dtype: torch.dtype, tokens: int) -> tuple[Tensor, ...]:
    """query, key, value, g, beta: two rows, two key heads, three heads for each."""
    query, key = (draw(2, 2, tokens, 4, seed=seed, dtype=dtype) for seed in (0, 1))
    value = draw(2, 6, tokens, 5, seed=2, dtype=dtype)
    g = (-draw(2, 6, tokens, seed=3, grad=False, dtype=dtype).abs()).requires_grad_()
    beta = draw(2, 6, tokens, seed=4, grad=False, dtype=dtype).sigmoid().requires_grad_()
    return query, key, value, g, beta


def test_gradient_of_the_delta_rule() -> None:
    assert torch.autograd.gradcheck(delta_rule, of_rule(torch.float64, 7), atol=1e-4)


@pytest.mark.parametrize("tokens", [1, 5, 40])
def test_the_delta_rule_is_the_librarys(tokens: int) -> None:
    mine, theirs = of_rule(torch.float32, tokens), of_rule(torch.float32, tokens)
    ours = delta_rule(*mine).transpose(1, 2)
    query, key, value, g, beta = (part.transpose(1, 2) for part in theirs)
    query, key = (part.repeat_interleave(3, dim=2) for part in (query, key))
    library, _ = LIBRARY.torch_chunk_gated_delta_rule(query, key, value, g=g, beta=beta, use_qk_l2norm_in_kernel=True)
    torch.testing.assert_close(ours, library, rtol=1e-5, atol=2e-6)
    weights = draw(*ours.shape, seed=5, grad=False, dtype=torch.float32)
    (ours * weights).sum().backward()
    (library * weights).sum().backward()
    for name, one, other in zip(("query", "key", "value", "g", "beta"), mine, theirs, strict=True):
        assert one.grad is not None and other.grad is not None
        scale = float(other.grad.abs().max())
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-5 * max(scale, 1e-3), msg=lambda text, n=name: f"{n}: {text}")


def stack(outputs: int, inputs: int, seed: int, bias: bool, adapters: list[int] | None) -> StackedLora:
    base = nn.Linear(inputs, outputs, bias=bias)
    with torch.no_grad():
        base.weight.copy_(draw(outputs, inputs, seed=seed, grad=False))
    base.requires_grad_(False)
    down, up = (
        draw(3, 2, inputs, seed=seed + 1, grad=False, dtype=torch.float32),
        draw(3, outputs, 2, seed=seed + 2, grad=False, dtype=torch.float32),
    )
    return StackedLora(base, down, up, 2.0, Rows(None if adapters is None else torch.tensor(adapters)))


def naive(layer: StackedLora, x: Tensor, adapters: list[int]) -> Tensor:
    """Row by row."""
    made = [
        nn.functional.linear(row, layer.base.weight, layer.base.bias) + 2.0 * (row @ layer.down[i].T) @ layer.up[i].T
        for row, i in zip(x, adapters, strict=True)
    ]
    return torch.stack(made)


@pytest.mark.parametrize("bias", [False, True], ids=["", "with a bias, by torch's own autograd"])
@pytest.mark.parametrize("adapters", [[2, 0, 2, 1], None], ids=["in no order, one of them twice", "one row each"])
def test_stacked_layers_are_what_each_rows_adapter_makes_by_itself(adapters: list[int] | None, bias: bool) -> None:
    layers = [stack(7, 5, 10, bias, adapters), stack(4, 5, 20, bias, adapters)]
    whose = [0, 1, 2] if adapters is None else adapters
    x, weights = (
        draw(len(whose), 3, 5, dtype=torch.float32),
        [draw(len(whose), 3, n, seed=n, grad=False, dtype=torch.float32) for n in (7, 4)],
    )

    def gradients(made: Any) -> tuple[list[Tensor], list[Tensor]]:
        x.grad = None
        for layer in layers:
            layer.down.grad = layer.up.grad = None
        sum((one * weight).sum() for one, weight in zip(made, weights, strict=True)).backward()
        found = [x.grad, *(part.grad for layer in layers for part in (layer.down, layer.up))]
        return list(made), [grad for grad in found if grad is not None]

    ours, theirs = gradients(together(x, layers)), gradients([naive(layer, x, whose) for layer in layers])
    assert len(ours[1]) == len(theirs[1]) == 5
    for one, other in zip((*ours[0], *ours[1]), (*theirs[0], *theirs[1]), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_layers_of_another_kind_are_called_one_by_one() -> None:
    plain, x = nn.Linear(5, 3), draw(6, 5, grad=False, dtype=torch.float32)
    assert torch.equal(together(x, [plain])[0], plain(x))
