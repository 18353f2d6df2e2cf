"""Pieces of a Qwen3.5 layer in float32, each with a backward of its own: fewer passes over memory than the library's small operations.

Every function equals what the library computes (tests: outputs and gradients against it, and gradcheck in float64). Gradients go to
activations only: the base's weights are frozen wherever a gradient is asked for. What is saved on the way forward are values that the
backward needs anyway (a sigmoid and a product with it), so that it takes no exponential.

The gated delta rule is that of Yang, Kautz and Hatamizadeh 2024 (arXiv:2412.06464) for a whole conversation as one chunk, starting from
no state. With unit keys k_i, unit queries q_i, write strengths b_i and cumulative log decays c_i, D_ij = exp(c_i - c_j) for j <= i:
(I + A) u = b v with A_ij = b_i (k_i . k_j) D_ij for j < i, and o_i = sum over j <= i of (q_i . k_j) D_ij u_j / sqrt(d_k).
Time and memory grow with the square of the tokens, so it is for short conversations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import silu

FAINTEST = -60.0
"""Least log decay that is told from a smaller one: beside what has not faded, exp(-60) is far below a rounding of float32. Products with
numbers below 1e-38 take ten times as long on a CPU, and exponentials of infinities take twenty times as long as others."""


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """x / sqrt(mean x^2 + eps) * weight over the last axis; x [..., d], weight [d]."""
    return _apply(_RmsNorm, x, weight, eps)


def gated_rms_norm(x: Tensor, gate: Tensor, weight: Tensor, eps: float) -> Tensor:
    """`rms_norm` of x times silu(gate); x, gate [..., d], weight [d]."""
    if not torch.is_grad_enabled():
        return (x * _inverse_rms(x, eps)).mul_(weight).mul_(silu(gate))
    return _apply(_GatedRmsNorm, x, gate, weight, eps)


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up (Shazeer 2020, arXiv:2002.05202), elementwise."""
    if not torch.is_grad_enabled():
        return silu(gate).mul_(up)
    return _apply(_SwiGlu, gate, up)


def rotary(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x [batch, tokens, heads, d] with its entries i and h + i turned by an angle each (Su et al. 2021, arXiv:2104.09864); cos, sin
    [batch, tokens, 1, h], and entries from 2 h on stay."""
    return _apply(_Rotary, x, cos, sin)


def causal_conv_silu(x: Tensor, weight: Tensor) -> Tensor:
    """silu of each channel's convolution with its own kernel over this token and those before it; x [batch, tokens, channels], weight
    [channels, kernel]."""
    return _apply(_CausalConvSilu, x, weight)


def delta_rule(query: Tensor, key: Tensor, value: Tensor, g: Tensor, beta: Tensor) -> Tensor:
    """Outputs [batch, heads, tokens, d_v] of the gated delta rule from an empty state.

    query, key [batch, key heads, tokens, d_k] (made unit here), value [batch, heads, tokens, d_v], log decay g and write strength beta
    [batch, heads, tokens]. Heads are a multiple of key heads; each key head serves as many heads in a row.
    """
    return _apply(_DeltaRule, query, key, value, g.cumsum(-1), beta)


def delta_rule_with_state(query: Tensor, key: Tensor, value: Tensor, g: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
    """`delta_rule` without a gradient, and the state after the last token, [batch, heads, d_k, d_v]."""
    decay = g.cumsum(-1)
    rule = _Solved.of(query, key, value, decay, beta)
    left = rule.written * faded(decay[..., -1:] - decay)[..., None]
    shared = left.view(*key.shape[:2], -1, *left.shape[2:])  # [batch, key heads, heads of each, tokens, d_v]
    state = rule.k.transpose(-1, -2)[:, :, None] @ shared
    return rule.reading @ rule.written, state.flatten(1, 2)


def faded(log: Tensor) -> Tensor:
    """exp of decays, in place, at least exp(FAINTEST)."""
    return log.clamp_(min=FAINTEST, max=0).exp_()


def _apply(function: type[Function], *arguments: Any) -> Tensor:
    result: Tensor = function.apply(*arguments)  # type: ignore[no-untyped-call]  # torch does not type it
    return result


def _inverse_rms(x: Tensor, eps: float) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return length.square_().div_(x.shape[-1]).add_(eps).rsqrt_()


def _silu_slope(sigmoid: Tensor, gated: Tensor) -> Tensor:
    """Derivative of silu(x) = x s(x): s + x s (1 - s), from s and x s."""
    return torch.addcmul(gated, gated, sigmoid, value=-1).add_(sigmoid)


def _through_norm(gradient: Tensor, x: Tensor, scale: Tensor) -> Tensor:
    """Gradient for x from that for x * scale, with scale the inverse root mean square of x; `gradient` is overwritten."""
    along = (gradient * x).sum(-1, keepdim=True).mul_(scale.pow(3)).div_(-x.shape[-1])
    return gradient.mul_(scale).addcmul_(x, along)


class _RmsNorm(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        scale = _inverse_rms(x, eps)
        ctx.save_for_backward(x, scale, weight)
        return (x * scale).mul_(weight)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, scale, weight = ctx.saved_tensors
        return _through_norm(gradients[0] * weight, x, scale), None, None


class _GatedRmsNorm(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gate: Tensor, weight: Tensor, eps: float) -> Tensor:
        scale, sigmoid = _inverse_rms(x, eps), torch.sigmoid(gate)
        gated, normed = gate * sigmoid, (x * scale).mul_(weight)
        ctx.save_for_backward(x, scale, weight, sigmoid, gated, normed)
        return normed * gated

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, scale, weight, sigmoid, gated, normed = ctx.saved_tensors
        of_gate = _silu_slope(sigmoid, gated).mul_(gradients[0]).mul_(normed)
        return _through_norm((gradients[0] * gated).mul_(weight), x, scale), of_gate, None, None


class _SwiGlu(Function):
    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        sigmoid = torch.sigmoid(gate)
        gated = gate * sigmoid
        ctx.save_for_backward(sigmoid, gated, up)
        return gated * up

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        sigmoid, gated, up = ctx.saved_tensors
        return _silu_slope(sigmoid, gated).mul_(up).mul_(gradients[0]), gradients[0] * gated


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half, out = cos.shape[-1], x.clone()
    left, right = x[..., :half], x[..., half : 2 * half]
    out[..., :half].mul_(cos).addcmul_(right, sin, value=-1)
    out[..., half : 2 * half].mul_(cos).addcmul_(left, sin)
    return out


class _Rotary(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _turned(x, cos, sin)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        cos, sin = ctx.saved_tensors
        return _turned(gradients[0], cos, -sin), None, None


class _CausalConvSilu(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        taps = weight.t().contiguous()  # [kernel, channels]; the last one is for the token itself
        mixed = x * taps[-1]
        for back in range(1, min(len(taps), x.shape[1])):
            mixed[:, back:].addcmul_(x[:, :-back], taps[-1 - back])
        sigmoid = torch.sigmoid(mixed)
        gated = mixed.mul_(sigmoid)
        ctx.save_for_backward(sigmoid, gated, taps)
        return gated

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        sigmoid, gated, taps = ctx.saved_tensors
        of_mixed = _silu_slope(sigmoid, gated).mul_(gradients[0])
        of_x = of_mixed * taps[-1]
        for back in range(1, min(len(taps), of_x.shape[1])):
            of_x[:, :-back].addcmul_(of_mixed[:, back:], taps[-1 - back])
        return of_x, None


@dataclass(frozen=True)
class _Solved:
    """The rule's system and its solution; all [batch, heads or key heads, tokens, ...]."""

    q: Tensor
    """Unit queries / sqrt(d_k)."""
    k: Tensor
    """Unit keys."""
    of_query: Tensor
    """1 / length of each query."""
    of_key: Tensor
    """1 / length of each key."""
    between: Tensor
    """D, [batch, heads, tokens, tokens]."""
    system: Tensor
    """A; its diagonal and what is above are not read."""
    reading: Tensor
    """(q_i . k_j) D_ij, 0 for j > i."""
    written: Tensor
    """u, [batch, heads, tokens, d_v]."""

    @classmethod
    def of(cls, query: Tensor, key: Tensor, value: Tensor, decay: Tensor, beta: Tensor) -> _Solved:
        batch, key_heads, tokens, width = query.shape
        heads = value.shape[1]
        of_query = query.square().sum(-1, keepdim=True).add_(1e-6).rsqrt_()
        of_key = key.square().sum(-1, keepdim=True).add_(1e-6).rsqrt_()
        q, k = (query * of_query).mul_(width**-0.5), key * of_key
        kk, qk = k @ k.transpose(-1, -2), q @ k.transpose(-1, -2)
        between = faded(decay[..., :, None] - decay[..., None, :]).tril_()
        grouped = between.view(batch, key_heads, heads // key_heads, tokens, tokens)
        system = (grouped * kk[:, :, None]).view(between.shape).mul_(beta[..., None])
        written: Tensor = torch.linalg.solve_triangular(system, value * beta[..., None], upper=False, unitriangular=True)
        reading = (grouped * qk[:, :, None]).view(between.shape)
        return cls(q, k, of_query, of_key, between, system, reading, written)


class _DeltaRule(Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, decay: Tensor, beta: Tensor) -> Tensor:
        rule = _Solved.of(query, key, value, decay, beta)
        ctx.save_for_backward(
            rule.q, rule.k, rule.of_query, rule.of_key, value, beta, rule.between, rule.system, rule.reading, rule.written
        )
        return rule.reading @ rule.written

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        q, k, of_query, of_key, value, beta, between, system, reading, written = ctx.saved_tensors
        batch, key_heads, tokens, width = q.shape
        grouped_shape = (batch, key_heads, value.shape[1] // key_heads, tokens, tokens)
        of_reading = gradients[0] @ written.transpose(-1, -2)
        of_written = reading.transpose(-1, -2) @ gradients[0]
        of_right = torch.linalg.solve_triangular(system.transpose(-1, -2), of_written, upper=True, unitriangular=True)
        of_system = (of_right @ written.transpose(-1, -2)).mul_(-torch.ones(tokens, tokens, device=q.device).tril_(-1))
        of_between = of_system * system
        of_beta = (of_right * value).sum(-1).addcdiv_(of_between.sum(-1), beta.clamp(min=1e-30))  # A is proportional to b, row by row
        of_between.addcmul_(of_reading, reading)  # times D, entry by entry
        of_decay = of_between.sum(-1) - of_between.sum(-2)
        of_system.mul_(between)
        of_kk = of_system.mul_(beta[..., None]).view(grouped_shape).sum(2)
        of_qk = of_reading.mul_(between).view(grouped_shape).sum(2)
        of_q = (of_qk @ k).mul_(width**-0.5)
        of_k = (of_qk.transpose(-1, -2) @ q).add_((of_kk + of_kk.transpose(-1, -2)) @ k)
        unit = q * width**0.5
        of_query_in = (of_q - unit * (unit * of_q).sum(-1, keepdim=True)).mul_(of_query)
        of_key_in = (of_k - k * (k * of_k).sum(-1, keepdim=True)).mul_(of_key)
        return of_query_in, of_key_in, of_right * beta[..., None], of_decay, of_beta
