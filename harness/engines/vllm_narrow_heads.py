"""Gated DeltaNet heads of any width on a CPU: vLLM's prefill kernel there knows 64 and 128 numbers a head and no others.

Narrower heads are padded with zeros up to the next width it knows. Zeros change neither the norm of keys and queries nor a product with
the state, so the outputs are the same but for the factor 1 / sqrt(d_k), which the kernel takes of the padded width. Its decoding kernel
takes any width. On a GPU, and where the width is one of the two, nothing is changed.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

KNOWN = (64, 128)


def install() -> None:
    """Wrap the kernel of this process, once."""
    from vllm import _custom_ops as operators

    kernel = operators.chunk_gated_delta_rule_cpu
    if not hasattr(kernel, "narrow_heads"):
        operators.chunk_gated_delta_rule_cpu = padded(kernel)


def padded(kernel: Any) -> Any:
    """`kernel` for heads of any width up to the widest it knows; its arguments are query [1, tokens, heads, d_k], key, value, g, beta,
    initial_state [slots, heads, d_k, d_v] (updated in place), ... , initial_state_indices [sequences]."""

    @functools.wraps(kernel)
    def run(query: Tensor, key: Tensor, value: Tensor, **rest: Any) -> tuple[Tensor, Tensor]:
        width = query.shape[-1]
        known = next((size for size in KNOWN if size >= width), None)
        if known is None or known == width or value.shape[-1] != width:
            result: tuple[Tensor, Tensor] = kernel(query=query, key=key, value=value, **rest)
            return result
        more = known - width
        pool, slots = rest.pop("initial_state"), rest.pop("initial_state_indices")
        states = torch.nn.functional.pad(pool[slots.long()], (0, more, 0, more)).contiguous()
        own = torch.arange(len(slots), dtype=slots.dtype, device=slots.device)
        query, key, value = (torch.nn.functional.pad(x, (0, more)).contiguous() for x in (query, key, value))
        out, last = kernel(query=query, key=key, value=value, initial_state=states, initial_state_indices=own, **rest)
        pool[slots.long()] = states[:, :, :width, :width]
        return out[..., :width] * (known / width) ** 0.5, last

    run.narrow_heads = True  # type: ignore[attr-defined]
    return run
