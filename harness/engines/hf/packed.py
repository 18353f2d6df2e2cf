"""Qwen3.5's two mixers over packed rows (`packing.py`), in float32: what a row gives alone, up to float rounding.

Attention masks what a token does not come after. Gated DeltaNet runs its stems first, then every branch from the state after its stem
(arXiv:2412.06464 in chunks, see `harness/recorders/delta_rule.py`); the convolution is mended where the token before is another.
Projections are called as modules, so what is hooked there sees packed rows as [1, tokens, ...].
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.qwen3_5 import modeling_qwen3_5

from harness.engines.hf.fused import gated_rms_norm
from harness.engines.hf.packing import Block, Packing
from harness.engines.hf.stacked import together
from harness.recorders.delta_rule import gated_delta_rule

_library: Any = modeling_qwen3_5


def runs_packed(model: Any) -> bool:
    """Whether this model's layers can be told of packed rows: a Qwen3.5 in float32."""
    return isinstance(model.get_decoder(), _library.Qwen3_5TextModel) and model.dtype == torch.float32


@contextlib.contextmanager
def packed_layers() -> Iterator[None]:
    """Let Qwen3.5's mixers take a Packing for their attention mask while the block lasts; without one they run as before."""
    kinds = {_library.Qwen3_5Attention: _attention, _library.Qwen3_5GatedDeltaNet: _gated_delta_net}
    before = {kind: kind.forward for kind in kinds}

    def told(kind: Any, packed: Any) -> Any:
        def forward(self: Any, hidden_states: Tensor, *arguments: Any, attention_mask: Any = None, **rest: Any) -> Any:
            if isinstance(attention_mask, Packing):
                return packed(self, hidden_states, attention_mask, **rest)
            return before[kind](self, hidden_states, *arguments, attention_mask=attention_mask, **rest)

        return forward

    for kind, packed in kinds.items():
        kind.forward = told(kind, packed)
    try:
        yield
    finally:
        for kind, forward in before.items():
            kind.forward = forward


def _attention(self: Any, hidden_states: Tensor, packing: Packing, *, position_embeddings: tuple[Tensor, Tensor], **_rest: Any) -> Any:
    tokens = hidden_states.shape[1]
    asked, key, value = (made[0] for made in together(hidden_states, [self.q_proj, self.k_proj, self.v_proj]))
    query, gate = asked.view(tokens, -1, 2 * self.head_dim).chunk(2, dim=-1)  # [tokens, heads, head width]
    cos, sin = (part[0] for part in position_embeddings)
    query, key = self.q_norm(query), self.k_norm(key.view(tokens, -1, self.head_dim))
    query, key = _library.apply_rotary_pos_emb(query, key, cos, sin, unsqueeze_dim=1)
    q, k, v = (
        packing.groups.rows_of(x).transpose(1, 2) for x in (query, key, value.view(key.shape))
    )  # [groups, heads, longest, head width]
    mixed = nn.functional.scaled_dot_product_attention(q, k, v, packing.unseen, scale=self.scaling, enable_gqa=True).transpose(1, 2)
    out = mixed.reshape(-1, *mixed.shape[2:]).index_select(0, packing.from_groups)
    return self.o_proj((out * torch.sigmoid(gate)).view(1, tokens, -1)), None


def _gated_delta_net(self: Any, hidden_states: Tensor, packing: Packing, **_rest: Any) -> Tensor:
    tokens = hidden_states.shape[1]
    inputs = [self.in_proj_qkv, self.in_proj_z, self.in_proj_b, self.in_proj_a]
    mixed, gate, b, a = (made[0] for made in together(hidden_states, inputs))
    mixed = _convolved(mixed, self.conv1d.weight.squeeze(1), packing)
    g, beta = -self.A_log.exp() * nn.functional.softplus(a + self.dt_bias), b.sigmoid()

    widths, head_widths = [self.key_dim, self.key_dim, self.value_dim], (self.head_k_dim, self.head_k_dim, self.head_v_dim)

    def rule(block: Block, state: Tensor | None, ending: bool) -> tuple[Tensor, Tensor | None]:
        query, key, value = (
            part.view(*block.at.shape, -1, width)  # [rows, longest, heads, width]
            for part, width in zip(torch.split(block.rows_of(mixed), widths, dim=-1), head_widths, strict=True)
        )
        decay, write = (block.rows_of(x) * block.real[..., None] for x in (g, beta))  # behind a row's end the state stays as it is
        out, last, _ = gated_delta_rule(query, key, value, decay, write, state, ending=ending)
        return out.flatten(0, 1), last

    patched = packing.patched.get(self.layer_idx)
    stems, states = rule(packing.stems, None, ending=patched is None)
    if packing.kept is not None and states is not None:
        packing.kept[self.layer_idx] = states
    after = states if patched is None else patched
    branches, _ = rule(packing.branches, None if after is None else after.index_select(0, packing.group), ending=False)
    out = torch.cat([stems, branches]).index_select(0, packing.from_stems_and_branches)  # [tokens, heads, width]
    normed = gated_rms_norm(out, gate.view(out.shape), self.norm.weight.detach(), self.norm.variance_epsilon)
    mixed_heads: Tensor = self.out_proj(normed.view(1, tokens, -1))
    return mixed_heads


def _convolved(x: Tensor, weight: Tensor, packing: Packing) -> Tensor:
    """silu of each channel's causal convolution; x [tokens, channels], weight [channels, kernel]."""
    taps = weight.t().contiguous()  # [kernel, channels]; the last one is for the token itself
    kernel = len(taps)
    mixed = x * taps[-1]
    for back in range(1, min(kernel, len(x))):
        mixed[back:].addcmul_(x[:-back], taps[-1 - back])
    at, windows, there = packing.seams(kernel)
    mended = x.index_select(0, at) * taps[-1]
    for tap in range(kernel - 1):
        mended.addcmul_(x.index_select(0, windows[:, tap]), taps[tap] * there[:, tap, None])
    mixed[at] = mended
    return nn.functional.silu(mixed, inplace=True)
