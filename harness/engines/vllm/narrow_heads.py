"""Gated DeltaNet heads of any width on a CPU: vLLM's prefill kernel there knows 64 and 128 numbers a head and no others.

Narrower heads run through another of its kernels, the one for speculated tokens, which takes any width: token by token from a state in
float32, where the prefill kernel makes products of 64 tokens at a time in bfloat16. It keeps a state for every token; here all tokens of a
sequence name the same place, so that only the last one stays. At 32 numbers a head it takes a third of the time of the prefill kernel with
heads padded to 64; at 64 it would take as long as that one. On a GPU, and for wider heads, nothing is changed.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

NARROW = 64
"""Numbers a head below which vLLM's prefill kernel does not serve it."""


def install() -> None:
    """Wrap the kernels of this process, once."""
    from vllm import _custom_ops

    operators: Any = _custom_ops
    if not hasattr(operators.chunk_gated_delta_rule_cpu, "narrow_heads"):
        update = operators.fused_sigmoid_gating_delta_rule_update_spec_cpu
        operators.chunk_gated_delta_rule_cpu = by_width(operators.chunk_gated_delta_rule_cpu, operators.fused_gdn_gating_cpu, update)
        operators.fused_gdn_gating_cpu = postponed


def postponed(A_log: Tensor, a: Tensor, b: Tensor, dt_bias: Tensor) -> tuple[tuple[Tensor, ...], None]:
    """Stands in for the kernel that computes decay and write strength, and returns its inputs: the one for narrow heads computes both."""
    return (A_log, a, b, dt_bias), None


def by_width(chunks: Any, gating: Any, update: Any) -> Any:
    """`chunks` for heads of any width; its arguments are query, key [1, tokens, heads, d_k], value [1, tokens, value heads, d_v], in g what
    `postponed` kept, initial_state [slots, value heads, d_k, d_v] (updated in place), cu_seqlens [sequences + 1],
    initial_state_indices [sequences], ..."""

    @functools.wraps(chunks)
    def run(query: Tensor, key: Tensor, value: Tensor, g: tuple[Tensor, ...], beta: None, **rest: Any) -> tuple[Tensor, Tensor | None]:
        if query.shape[-1] >= NARROW:
            decay, strength = gating(*g)
            result: tuple[Tensor, Tensor] = chunks(query=query, key=key, value=value, g=decay, beta=strength, **rest)
            return result
        A_log, a, b, dt_bias = g
        starts, slots = rest["cu_seqlens"], rest["initial_state_indices"]
        out: Tensor = update(
            A_log=A_log,
            dt_bias=dt_bias,
            q=query[0],
            k=key[0],
            v=value[0],
            a=a,
            b=b,
            initial_state_source=rest["initial_state"],
            spec_state_indices=slots[:, None].repeat(1, int(starts.diff().max())),
            num_accepted_tokens=torch.ones_like(slots),
            cu_seqlens=starts,
            use_qk_l2norm_in_kernel=rest["use_qk_l2norm_in_kernel"],
        )
        return out[None], None

    run.narrow_heads = True  # type: ignore[attr-defined]  # a mark, so that it is wrapped once
    return run
