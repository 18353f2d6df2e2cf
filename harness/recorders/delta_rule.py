"""The gated delta rule with the state right after any token, exact: what recurrent layers remember on the way.

S_t = a_t S_{t-1} + k_t (b_t (v_t - (a_t S_{t-1})^T k_t))^T and o_t = S_t^T q_t / sqrt(d_k), in chunks (Yang, Kautz and Hatamizadeh 2024,
arXiv:2412.06464), a_t = exp(g_t). Cost inside a chunk grows with the square of its tokens, so a conversation is cut into equal chunks
of at most SIZE. The library's reference and flash-linear-attention return the last state only. This one also reads S_t inside a chunk
from what that chunk has computed anyway, so a state costs one small product and not a second pass. Padding on the right cannot be seen
from a position before it.
"""

from __future__ import annotations

import torch
from torch import Tensor

CHUNK = 16
"""Chunk of the library's rule where that runs: its 64 waste work on conversations of fifty tokens (benchmarks/fast_paths.py)."""
SIZE = 40
"""Most tokens of a chunk: on a CPU 16 to 40 take the same time, 64 and 96 take half as much again."""
FAINTEST = -80.0
"""Log of the smallest decay that is told from none: e^-80 is far below a rounding, and exp is slow where its result is no normal number."""


def _unit(x: Tensor) -> Tensor:
    return x * torch.rsqrt((x * x).sum(-1, keepdim=True) + 1e-6)


def gated_delta_rule(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    g: Tensor,
    beta: Tensor,
    initial_state: Tensor | None = None,
    positions: Tensor | None = None,
    chunk: int = SIZE,
    ending: bool = True,
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Outputs, last state (None without `ending`), and the states right after `positions`.

    query, key [batch, tokens, key heads, d_k] (made unit here), value [batch, tokens, heads, d_v], g (log decay) and beta
    [batch, tokens, heads], initial_state [batch, heads, d_k, d_v], positions [batch, reads] token indices. Heads are a multiple of key
    heads; each key head serves as many heads in a row. Returns outputs [batch, tokens, heads, d_v] in the type of query, the last state
    in float32, and states [batch, reads, heads, d_k, d_v].
    """
    (batch, tokens, key_heads, width), heads = query.shape, value.shape[2]
    grouped = (batch, key_heads, heads // key_heads)
    q, k = ((_unit(x.float()) * scale).transpose(1, 2) for x, scale in ((query, width**-0.5), (key, 1.0)))
    v, decays, write = value.float().transpose(1, 2), g.float().transpose(1, 2), beta.float().transpose(1, 2)[..., None]
    out = torch.empty(value.shape, dtype=torch.float32, device=v.device)
    states = None if positions is None else v.new_zeros(*positions.shape, heads, width, v.shape[-1])
    state = None if initial_state is None else initial_state.float()
    size = -(-tokens // -(-tokens // chunk))
    for start in range(0, tokens, size):
        part = slice(start, min(start + size, tokens))
        q_here, k_here, decay = q[:, :, part], k[:, :, part], decays[:, :, part].cumsum(-1)
        turned, square = k_here.transpose(-1, -2), (batch, heads, k_here.shape[2], k_here.shape[2])
        # decay from j to i; for j > i, which no one reads, and below FAINTEST a number that exp is quick with
        between = (decay[..., :, None] - decay[..., None, :]).tril_().clamp_(min=FAINTEST).exp_().view(*grouped, *square[2:])
        system = (between * (k_here @ turned)[:, :, None]).view(square) * write[:, :, part]  # its upper half is not read
        reading = (between * (q_here @ turned)[:, :, None]).view(square).tril_()
        new = v[:, :, part]
        if state is not None:
            grown, before = decay.exp()[..., None], state.view(*grouped, width, -1)
            new = torch.addcmul(new, (k_here[:, :, None] @ before).view(new.shape), grown, value=-1)
        # (I + A) u = b v as u' (I + A)' = (b v)', which LAPACK takes without copies
        right = (new * write[:, :, part]).transpose(-1, -2)
        solved = torch.linalg.solve_triangular(system.transpose(-1, -2), right, upper=True, left=False, unitriangular=True)
        written = solved.transpose(-1, -2)
        made = reading @ written
        if state is not None:
            made = made.addcmul_((q_here[:, :, None] @ before).view(made.shape), grown)
        out[:, part] = made.transpose(1, 2)
        if states is not None and positions is not None:
            row, read = ((positions >= start) & (positions < part.stop)).nonzero(as_tuple=True)
            of_row = k_here.repeat_interleave(heads // key_heads, 1)[row]
            old = None if state is None else state[row]
            states[row, read] = _inside_chunk(old, written[row], of_row, decay[row], positions[row, read] - start)
        if part.stop == tokens and not ending:
            return out.to(query.dtype), None, states
        leaving = (written * (decay[..., -1:] - decay).exp()[..., None]).view(*grouped, -1, v.shape[-1])
        left = (turned[:, :, None] @ leaving).view(batch, heads, width, -1)
        state = left if state is None else left.addcmul_(state, grown[..., -1:, :])
    return out.to(query.dtype), state, states


def _inside_chunk(before: Tensor | None, written: Tensor, k: Tensor, decay: Tensor, offset: Tensor) -> Tensor:
    """[reads, heads, d_k, d_v] after `offset` [reads] tokens more than one of a chunk, from the state before it (None: empty)."""
    at = decay.gather(-1, offset[:, None, None].expand(*decay.shape[:2], 1))  # [reads, heads, 1]
    ahead = torch.arange(k.shape[-2], device=k.device) > offset[:, None, None]
    weights = (at - decay).masked_fill(ahead, float("-inf")).exp()[..., None]
    added = (k * weights).transpose(-1, -2) @ written
    return added if before is None else before * at.exp()[..., None] + added
