"""Faster on a CPU, same function: Qwen3.5's layers from the pieces of `fused.py`, and shorter chunks of the delta rule.

While the block lasts, the library's norms, feed-forward and Gated DeltaNet layers run the fused pieces where their input is plain float32
and no cache is involved. Conversations of up to `WHOLE` tokens are one chunk of the delta rule; longer ones, and those with a cache, run
the library's reference in chunks of 16 instead of 64. What a recorder hooks is called as before: the projections after the heads, the
attention function, and the delta rule where a recorder put its own. Log-probabilities agree with the library's within 2e-5 (tests).
Meant for a CPU; on a GPU flash-linear-attention has its own kernels. `--no-fast` turns it off.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.qwen3_5 import modeling_qwen3_5

from harness.engines.hf.fused import causal_conv_silu, delta_rule, gated_rms_norm, rms_norm, swiglu
from harness.engines.hf.stacked import is_plain_float32, together
from harness.recorders.delta_rule import CHUNK

RULE = "torch_chunk_gated_delta_rule"
WHOLE = 96
"""Tokens up to which a conversation is one chunk of the delta rule: its cost grows with their square."""

_library: Any = modeling_qwen3_5
_REFERENCE = getattr(_library, RULE)
_FORWARDS = {kind: kind.forward for kind in (_library.Qwen3_5RMSNorm, _library.Qwen3_5MLP, _library.Qwen3_5GatedDeltaNet)}
_short_chunks = functools.partial(_REFERENCE, chunk_size=CHUNK)


@contextlib.contextmanager
def short_chunks() -> Iterator[None]:
    """Run every Gated DeltaNet layer of a Qwen3.5 model in chunks of 16 while the block lasts: what a training of base weights can do."""
    rule = getattr(_library, RULE)
    setattr(_library, RULE, _short_chunks)
    try:
        yield
    finally:
        setattr(_library, RULE, rule)


@contextlib.contextmanager
def fast_layers() -> Iterator[None]:
    """Run Qwen3.5 models with the fused layers while the block lasts; it may be entered again inside itself."""
    kinds = {_library.Qwen3_5RMSNorm: _norm, _library.Qwen3_5MLP: _feed_forward, _library.Qwen3_5GatedDeltaNet: _gated_delta_net}
    before = {kind: kind.forward for kind in kinds}
    for kind, forward in kinds.items():
        kind.forward = forward
    try:
        with short_chunks():
            yield
    finally:
        for kind, forward in before.items():
            kind.forward = forward


def _norm(self: Any, x: Tensor) -> Tensor:
    if not is_plain_float32(x):
        return _library_forward(self, x)
    return rms_norm(x, 1 + self.weight.detach(), self.eps)


def _feed_forward(self: Any, x: Tensor) -> Tensor:
    if not is_plain_float32(x):
        return _library_forward(self, x)
    down: Tensor = self.down_proj(swiglu(*together(x, [self.gate_proj, self.up_proj])))
    return down


def _gated_delta_net(
    self: Any, hidden_states: Tensor, cache_params: Any = None, attention_mask: Tensor | None = None, **rest: Any
) -> Tensor:
    if cache_params is not None or attention_mask is not None or not is_plain_float32(hidden_states):
        return _library_forward(self, hidden_states, cache_params=cache_params, attention_mask=attention_mask, **rest)
    batch, tokens, _ = hidden_states.shape
    mixed, gate, b, a = together(hidden_states, [self.in_proj_qkv, self.in_proj_z, self.in_proj_b, self.in_proj_a])
    mixed = causal_conv_silu(mixed, self.conv1d.weight.detach().squeeze(1))
    query, key, value = (
        part.view(batch, tokens, -1, width)
        for part, width in zip(
            torch.split(mixed, [self.key_dim, self.key_dim, self.value_dim], dim=-1),
            (self.head_k_dim, self.head_k_dim, self.head_v_dim),
            strict=True,
        )
    )  # [batch, tokens, heads, width]
    g, beta = -self.A_log.exp() * nn.functional.softplus(a + self.dt_bias), b.sigmoid()
    rule = getattr(_library, RULE)
    if rule is _short_chunks and tokens <= WHOLE:
        out = delta_rule(*(part.transpose(1, 2) for part in (query, key, value, g, beta))).transpose(1, 2)
    else:
        repeats = self.num_v_heads // self.num_k_heads
        query, key = (part.repeat_interleave(repeats, dim=2) for part in (query, key))
        out, _ = rule(query, key, value, g=g, beta=beta, use_qk_l2norm_in_kernel=True)
    normed = gated_rms_norm(out, gate.view(batch, tokens, -1, self.head_v_dim), self.norm.weight.detach(), self.norm.variance_epsilon)
    mixed_heads: Tensor = self.out_proj(normed.reshape(batch, tokens, -1))
    return mixed_heads


def _library_forward(module: Any, *arguments: Any, **named: Any) -> Tensor:
    forward = next(_FORWARDS[kind] for kind in type(module).__mro__ if kind in _FORWARDS)
    made: Tensor = forward(module, *arguments, **named)
    return made
