"""Qwen3.5 token by token, for many replies to many prompts at once: each prompt is read once, and its replies share what it left.

A Gated DeltaNet layer's recurrent state after the prompt, S, is kept once a prompt and not rewritten. What the reply has written since is
kept as its unit keys k_j, values u_j and cumulative log decays c_j. The recurrence of harness/recorders/delta_rule.py unrolled:
u_t = b_t (v_t - r(k_t)) and o_t = r(q_t) + (q_t . k_t) u_t, with r(x) = exp(c_t) S^T x + sum over j < t of exp(c_t - c_j) (x . k_j) u_j
and unit queries over sqrt(d_k). After FOLD tokens the sum goes into a state of the reply's own, so that a token does not cost more the
longer the reply. An attention layer reads the prompt's keys and values, shared in the same way, and those of the reply.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from harness.engines.hf.fused import faded

FOLD = 64
"""Tokens of a reply that are read one by one at most; reading them costs then about what a state of its own does."""
ROOM = 16
"""Tokens by which the tensors of a reply grow."""


@dataclass
class DeltaPast:
    """What a Gated DeltaNet layer keeps. Replies are rows, in equal shares for each group: a prompt, or one reply where it has folded."""

    before: list[Tensor]
    """Inputs of the convolution at the last tokens, oldest first, each [rows, channels]."""
    state: Tensor
    """[groups, key heads, d_k, heads of each key head * d_v]."""
    keys: Tensor
    """[rows, key heads, room, d_k]; the first `Past.open` places are filled, as in the next two."""
    values: Tensor
    """[rows, heads, room, d_v]."""
    decays: Tensor
    """[rows, heads, room], cumulative since the state."""


@dataclass
class AttentionPast:
    """Keys and values, rotated: of prompts [prompts, key heads, tokens, width], of replies [rows, key heads, room, width]."""

    prompt_keys: Tensor
    prompt_values: Tensor
    keys: Tensor
    values: Tensor


@dataclass
class Past:
    """What the layers keep of prompts and replies; they are given it in the place of the library's cache."""

    lengths: Tensor
    """Tokens of each prompt, [prompts]; prompts are padded on the right."""
    times: int = 0
    """Replies to each prompt; rows are all replies to the first prompt, then all to the second, and so on. 0: prompts are being read."""
    said: int = 0
    """Tokens of each reply that have been read."""
    open: int = 0
    """How many of them are in no state yet."""
    layers: dict[int, Any] = field(default_factory=dict)
    """DeltaPast or AttentionPast, by layer."""

    def keep_delta(self, layer: int, inputs: Tensor, kernel: int, state: Tensor, key_heads: int) -> None:
        """After the prompts: `inputs` of the convolution [prompts, tokens, channels], and the state [prompts, heads, d_k, d_v]."""
        prompts, heads, d_k, d_v = state.shape
        padded = nn.functional.pad(inputs, (0, 0, kernel - 1, 0))
        row = torch.arange(prompts, device=state.device)
        before = [padded[row, self.lengths + i] for i in range(kernel - 1)]
        grouped = state.view(prompts, key_heads, heads // key_heads, d_k, d_v).transpose(2, 3).reshape(prompts, key_heads, d_k, -1)
        empty = [state.new_empty(prompts, *shape) for shape in ((key_heads, 0, d_k), (heads, 0, d_v), (heads, 0))]
        self.layers[layer] = DeltaPast(before, grouped, *empty)

    def keep_attention(self, layer: int, keys: Tensor, values: Tensor) -> None:
        """After the prompts: keys and values [prompts, key heads, tokens, width]."""
        self.layers[layer] = AttentionPast(keys, values, keys[:, :, :0], values[:, :, :0])

    def answer(self, times: int) -> None:
        """The prompts have been read; from here on a pass is over one token of each of `times` replies to each."""
        self.times = times
        prompts = torch.arange(len(self.lengths))
        self._select(prompts, prompts.repeat_interleave(times))

    def keep(self, prompts: Tensor) -> None:
        """Forget all prompts but those with these places, in order, and the replies to the others."""
        if len(prompts) < len(self.lengths):
            self._select(prompts, (prompts[:, None] * self.times + torch.arange(self.times)).flatten())
            self.lengths = self.lengths[prompts]

    def _select(self, prompts: Tensor, rows: Tensor) -> None:
        for past in self.layers.values():
            if isinstance(past, DeltaPast):
                past.before = [one[rows] for one in past.before]
                past.state = past.state[rows if self.said > self.open else prompts]
                past.decays = past.decays[rows]
            else:
                past.prompt_keys, past.prompt_values = past.prompt_keys[prompts], past.prompt_values[prompts]
            past.keys, past.values = past.keys[rows], past.values[rows]

    def advance(self) -> None:
        """One token of every reply has been read."""
        self.said, self.open = self.said + 1, self.open + 1
        if self.open == FOLD:
            for past in self.layers.values():
                if isinstance(past, DeltaPast):
                    _fold(past)
            self.open = 0


def joined(parts: Sequence[Past]) -> Past:
    """One past of prompts that were read in several passes."""
    longest = max(int(part.lengths.max()) for part in parts)
    whole = Past(torch.cat([part.lengths for part in parts]))
    for layer in parts[0].layers:
        of_parts = [part.layers[layer] for part in parts]
        if isinstance(of_parts[0], DeltaPast):
            before = [torch.cat(each) for each in zip(*(one.before for one in of_parts), strict=True)]
            rest = [torch.cat([getattr(one, name) for one in of_parts]) for name in ("state", "keys", "values", "decays")]
            whole.layers[layer] = DeltaPast(before, *rest)
        else:
            keys, values = (
                torch.cat([nn.functional.pad(x, (0, 0, 0, longest - x.shape[2])) for x in (getattr(one, name) for one in of_parts)])
                for name in ("prompt_keys", "prompt_values")
            )
            whole.keep_attention(layer, keys, values)
    return whole


def read_delta(past: Past, layer: int, key: Tensor, query: Tensor, value: Tensor, g: Tensor, beta: Tensor) -> Tensor:
    """Outputs [rows, heads, d_v] for the next token of every reply, which is remembered.

    query, key [rows, key heads, d_k] (made unit here), value [rows, heads, d_v], log decay g and write strength beta [rows, heads].
    """
    kept, at = past.layers[layer], past.open
    (rows, key_heads, d_k), (_, heads, d_v) = key.shape, value.shape
    each = rows // len(kept.state)
    asking = torch.stack([query, key], dim=2)  # [rows, key heads, 2, d_k]
    asking = asking * asking.square().sum(-1, keepdim=True).add_(1e-6).rsqrt_()
    asking[:, :, 0] *= d_k**-0.5
    decay = g + kept.decays[:, :, at - 1] if at else g
    grouped = asking.view(-1, each, key_heads, 2, d_k).transpose(1, 2).reshape(-1, each * 2, d_k)
    found = (grouped @ kept.state.flatten(0, 1)).view(-1, key_heads, each, 2, heads // key_heads, d_v)
    found = found.permute(0, 2, 1, 4, 3, 5).reshape(rows, heads, 2, d_v).mul_(faded(decay.clone())[..., None, None])
    if at:
        met = asking.flatten(0, 1) @ kept.keys.flatten(0, 1)[:, :at].transpose(1, 2)  # [rows * key heads, 2, at]
        fading = faded(decay[..., None] - kept.decays[:, :, :at])
        weights = met.view(rows, key_heads, 1, 2, at) * fading.view(rows, key_heads, -1, 1, at)
        found.view(-1, 2, d_v).baddbmm_(weights.view(-1, 2, at), kept.values.flatten(0, 1)[:, :at])
    written = (value - found[:, :, 1]).mul_(beta[..., None])
    kept.keys, kept.values, kept.decays = (
        _with(old, new, at) for old, new in ((kept.keys, asking[:, :, 1]), (kept.values, written), (kept.decays, decay))
    )
    own = (asking[:, :, 0] * asking[:, :, 1]).sum(-1)  # [rows, key heads]
    out: Tensor = found[:, :, 0].addcmul_(written, own.repeat_interleave(heads // key_heads, dim=1)[..., None])
    return out


def read_attention(past: Past, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Outputs [rows, heads, width] for the next token of every reply, which is remembered; query [rows, heads, width], key and value
    [rows, key heads, width], rotated."""
    kept, at = past.layers[layer], past.said
    kept.keys, kept.values = _with(kept.keys, key, at), _with(kept.values, value, at)
    (rows, key_heads, width), (prompts, _, longest, _) = key.shape, kept.prompt_keys.shape
    own = query.view(rows * key_heads, -1, width) * scale
    shared = own.view(prompts, past.times, key_heads, -1, width).transpose(1, 2).reshape(prompts * key_heads, -1, width)
    of_prompt = (shared @ kept.prompt_keys.flatten(0, 1).transpose(1, 2)).view(prompts, key_heads, -1, longest)
    of_prompt.masked_fill_((torch.arange(longest, device=query.device) >= past.lengths[:, None])[:, None, None], float("-inf"))
    of_reply = own @ kept.keys.flatten(0, 1)[:, : at + 1].transpose(1, 2)  # [rows * key heads, group, at + 1]
    of_prompt = of_prompt.view(prompts, key_heads, past.times, -1, longest).transpose(1, 2).reshape(*of_reply.shape[:2], longest)
    weights = torch.cat([of_prompt, of_reply], dim=-1).softmax(-1)
    on_prompt = weights[..., :longest].view(prompts, past.times, key_heads, -1, longest).transpose(1, 2)
    out = (on_prompt.reshape(prompts * key_heads, -1, longest) @ kept.prompt_values.flatten(0, 1)).view(
        prompts, key_heads, past.times, -1, width
    )
    out = out.transpose(1, 2).reshape(own.shape).baddbmm_(weights[..., longest:], kept.values.flatten(0, 1)[:, : at + 1])
    mixed: Tensor = out.view(query.shape)
    return mixed


def convolved(past: Past, layer: int, x: Tensor, weight: Tensor) -> Tensor:
    """silu of the causal convolution at the next token of every reply, x [rows, channels], which is remembered; weight
    [channels, kernel]."""
    before = past.layers[layer].before
    taps = weight.t().contiguous()
    mixed = x * taps[-1]
    for one, tap in zip(before, taps, strict=False):
        mixed.addcmul_(one, tap)
    past.layers[layer].before = [*before[1:], x] if before else []
    return nn.functional.silu(mixed, inplace=True)


def _with(old: Tensor, new: Tensor, at: int) -> Tensor:
    """`old` [rows, heads, room, ...] with `new` [rows, heads, ...] at this place; with more room where it was full."""
    if at == old.shape[2]:
        old = torch.cat([old, old.new_empty(*old.shape[:2], ROOM, *old.shape[3:])], dim=2)
    old[:, :, at] = new
    return old


def _fold(past: DeltaPast) -> None:
    """Every reply gets a state of its own, which holds all it has written."""
    (rows, key_heads, _, d_k), d_v = past.keys.shape, past.values.shape[-1]
    keys, values, decays = past.keys[:, :, :FOLD], past.values[:, :, :FOLD], past.decays[:, :, :FOLD]
    last = decays[:, :, -1:]
    values = values * faded(last - decays)[..., None]
    grouped = values.view(rows, key_heads, -1, FOLD, d_v).transpose(2, 3).reshape(rows * key_heads, FOLD, -1)
    before = past.state.repeat_interleave(rows // len(past.state), dim=0).view(rows, key_heads, d_k, -1, d_v)
    before = before * faded(last.clone()).view(rows, key_heads, 1, -1, 1)
    past.state = before.view(rows * key_heads, d_k, -1).baddbmm_(keys.reshape(-1, FOLD, d_k).transpose(1, 2), grouped)
    past.state = past.state.view(rows, key_heads, d_k, -1)
