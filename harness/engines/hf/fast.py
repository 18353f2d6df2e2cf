"""Faster on a CPU, same function: Qwen3.5's layers from the pieces of `fused.py`, and shorter chunks of the delta rule.

While the block lasts, the library's norms, feed-forward, attention and Gated DeltaNet layers run the fused pieces where their input is
plain float32 and the library's cache is not involved; given a `Past` of `decoding.py` instead of a cache, they remember in it.
Conversations of up to `WHOLE` tokens are one chunk of the delta rule; longer ones, and those with a cache, run the library's reference in
chunks of 16 instead of 64. What a recorder hooks is called as before: the projections after the heads, the attention function, and the
delta rule where a recorder put its own. Log-probabilities agree with the library's within 2e-5 (tests). Meant for a CPU; on a GPU
flash-linear-attention has its own kernels. `--no-fast` turns it off.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.qwen3_5 import modeling_qwen3_5

from harness.engines.hf.decoding import Past, convolved, read_attention, read_delta
from harness.engines.hf.fused import causal_conv_silu, delta_rule, delta_rule_with_state, gated_rms_norm, rms_norm, rotary, swiglu
from harness.engines.hf.stacked import is_plain_float32, together
from harness.recorders.delta_rule import CHUNK

RULE = "torch_chunk_gated_delta_rule"
WHOLE = 96
"""Tokens up to which a conversation is one chunk of the delta rule: its cost grows with their square."""

_library: Any = modeling_qwen3_5
_REFERENCE = getattr(_library, RULE)
_FORWARDS = {
    kind: kind.forward for kind in (_library.Qwen3_5RMSNorm, _library.Qwen3_5MLP, _library.Qwen3_5GatedDeltaNet, _library.Qwen3_5Attention)
}
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
    kinds = {
        _library.Qwen3_5RMSNorm: _norm,
        _library.Qwen3_5MLP: _feed_forward,
        _library.Qwen3_5GatedDeltaNet: _gated_delta_net,
        _library.Qwen3_5Attention: _attention,
    }
    before = {kind: kind.forward for kind in kinds}
    for kind, forward in kinds.items():
        kind.forward = forward
    try:
        with short_chunks():
            yield
    finally:
        for kind, forward in before.items():
            kind.forward = forward


def has_fused_steps(model: Any) -> bool:
    """Whether harness/engines/hf/steps.py runs this model: a Qwen3.5 in float32 while its layers are fused."""
    decoder = model.get_decoder()
    fused = _library.Qwen3_5Attention.forward is _attention
    return fused and isinstance(decoder, _library.Qwen3_5TextModel) and decoder.dtype == torch.float32


def _norm(self: Any, x: Tensor) -> Tensor:
    if not is_plain_float32(x):
        made: Tensor = _library_forward(self, x)
        return made
    return rms_norm(x, 1 + self.weight.detach(), self.eps)


def _feed_forward(self: Any, x: Tensor) -> Tensor:
    if not is_plain_float32(x):
        made: Tensor = _library_forward(self, x)
        return made
    gate, up = together(x, [self.gate_proj, self.up_proj])
    down: Tensor = self.down_proj(swiglu(gate, up))
    return down


def _gated_delta_net(
    self: Any, hidden_states: Tensor, cache_params: Any = None, attention_mask: Tensor | None = None, **rest: Any
) -> Tensor:
    past = cache_params if isinstance(cache_params, Past) else None
    if (cache_params is not None and past is None) or attention_mask is not None or not is_plain_float32(hidden_states):
        made: Tensor = _library_forward(self, hidden_states, cache_params=cache_params, attention_mask=attention_mask, **rest)
        return made
    batch, tokens, _ = hidden_states.shape
    mixed, gate, b, a = together(hidden_states, [self.in_proj_qkv, self.in_proj_z, self.in_proj_b, self.in_proj_a])
    kernel = self.conv1d.weight.detach().squeeze(1)  # [channels, taps]
    inputs = mixed
    answering = past if past is not None and past.times else None
    mixed = convolved(answering, self.layer_idx, mixed[:, 0], kernel)[:, None] if answering else causal_conv_silu(mixed, kernel)
    query, key, value = (
        part.view(batch, tokens, -1, width)
        for part, width in zip(
            torch.split(mixed, [self.key_dim, self.key_dim, self.value_dim], dim=-1),
            (self.head_k_dim, self.head_k_dim, self.head_v_dim),
            strict=True,
        )
    )  # [batch, tokens, heads, width]
    g, beta = -self.A_log.exp() * nn.functional.softplus(a + self.dt_bias), b.sigmoid()
    if answering:
        out = read_delta(answering, self.layer_idx, *(part[:, 0] for part in (key, query, value, g, beta)))[:, None]
    elif past is not None:
        inside = torch.arange(tokens, device=g.device) < past.lengths[:, None]
        out, state = _rule_with_state(query, key, value, g * inside[..., None], beta * inside[..., None])
        past.keep_delta(self.layer_idx, inputs, kernel.shape[1], state, self.num_k_heads)
    else:
        out = _rule(query, key, value, g, beta)
    normed = gated_rms_norm(out, gate.view(batch, tokens, -1, self.head_v_dim), self.norm.weight.detach(), self.norm.variance_epsilon)
    mixed_heads: Tensor = self.out_proj(normed.reshape(batch, tokens, -1))
    return mixed_heads


def _rule(query: Tensor, key: Tensor, value: Tensor, g: Tensor, beta: Tensor) -> Tensor:
    """Outputs of the delta rule [batch, tokens, heads, d_v]; of a recorder's, where there is one."""
    rule = getattr(_library, RULE)
    if rule is _short_chunks and query.shape[1] <= WHOLE:
        return delta_rule(*(part.transpose(1, 2) for part in (query, key, value, g, beta))).transpose(1, 2)
    repeats = value.shape[2] // query.shape[2]
    query, key = (part.repeat_interleave(repeats, dim=2) for part in (query, key))
    out: Tensor = rule(query, key, value, g=g, beta=beta, use_qk_l2norm_in_kernel=True)[0]
    return out


def _rule_with_state(query: Tensor, key: Tensor, value: Tensor, g: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs, and the state after the last token [batch, heads, d_k, d_v]."""
    if query.shape[1] <= WHOLE:
        out, state = delta_rule_with_state(*(part.transpose(1, 2) for part in (query, key, value, g, beta)))
        return out.transpose(1, 2), state
    repeats = value.shape[2] // query.shape[2]
    query, key = (part.repeat_interleave(repeats, dim=2) for part in (query, key))
    out, state = _short_chunks(query, key, value, g=g, beta=beta, output_final_state=True, use_qk_l2norm_in_kernel=True)
    return out, state


def _attention(
    self: Any,
    hidden_states: Tensor,
    position_embeddings: tuple[Tensor, Tensor],
    attention_mask: Tensor | None,
    past_key_values: Any = None,
    **rest: Any,
) -> tuple[Tensor, Tensor | None]:
    past = past_key_values if isinstance(past_key_values, Past) else None
    if (past_key_values is not None and past is None) or not is_plain_float32(hidden_states):
        made: tuple[Tensor, Tensor | None] = _library_forward(
            self, hidden_states, position_embeddings, attention_mask, past_key_values=past_key_values, **rest
        )
        return made
    shape, width = hidden_states.shape[:-1], self.head_dim
    mixed, key, value = (
        part.view(*shape, -1, each)  # [batch, tokens, heads, width of each]
        for part, each in zip(together(hidden_states, [self.q_proj, self.k_proj, self.v_proj]), (2 * width, width, width), strict=True)
    )
    query, gate = torch.split(mixed, width, dim=-1)
    cos, sin = (part[:, :, None, : part.shape[-1] // 2] for part in position_embeddings)  # the second half repeats the first
    query, key = rotary(self.q_norm(query), cos, sin), rotary(self.k_norm(key), cos, sin)
    weights = None
    if past is not None and past.times:
        out = read_attention(past, self.layer_idx, query[:, 0], key[:, 0], value[:, 0], self.scaling)
    else:
        query, key, value = (part.transpose(1, 2) for part in (query, key, value))
        if past is not None:
            past.keep_attention(self.layer_idx, key, value)
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, _library.eager_attention_forward)
        dropout = self.attention_dropout if self.training else 0.0
        out, weights = attend(self, query, key, value, attention_mask, dropout=dropout, scaling=self.scaling, **rest)
    gated: Tensor = self.o_proj(out.reshape(*shape, -1) * gate.reshape(*shape, -1).sigmoid())
    return gated, weights


def _library_forward(module: Any, *arguments: Any, **named: Any) -> Any:  # a tensor, or from attention also its weights or None
    forward = next(_FORWARDS[kind] for kind in type(module).__mro__ if kind in _FORWARDS)
    return forward(module, *arguments, **named)
