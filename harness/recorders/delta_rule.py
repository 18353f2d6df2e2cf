"""The gated delta rule in chunks, with the recurrent state at any position of any row.

S_t = exp(g_t) S_{t-1} + beta_t k_t (v_t - exp(g_t) S_{t-1}^T k_t)^T and o_t = S_t^T q_t / sqrt(d_k) (Yang, Kautz and Hatamizadeh 2024,
arXiv:2412.06464), computed chunk by chunk with the UT transform (Yang et al. 2024, arXiv:2406.06484). The library's function gives
the outputs and the last state; ours equals it (tests) and reads S_t inside a chunk from what that chunk has computed anyway,
so a state costs one small product and not a second pass. Padding on the right cannot be seen from a position before it.
"""

from __future__ import annotations

import torch
from torch import Tensor

CHUNK = 16
"""The library's 64 waste work on conversations of fifty tokens (benchmarks/fast_paths.py)."""


def _unit(x: Tensor) -> Tensor:
    return x * torch.rsqrt((x * x).sum(-1, keepdim=True) + 1e-6)


def _chunks(x: Tensor, size: int) -> Tensor:
    """[batch, tokens, heads, ...] to [batch, heads, chunks, size, ...] in float32, zeros after the end."""
    x = x.transpose(1, 2).float()
    missing = -x.shape[2] % size
    if missing:
        x = torch.cat([x, x.new_zeros(*x.shape[:2], missing, *x.shape[3:])], dim=2)
    return x.reshape(*x.shape[:2], -1, size, *x.shape[3:])


def gated_delta_rule(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    g: Tensor,
    beta: Tensor,
    initial_state: Tensor | None = None,
    positions: Tensor | None = None,
    chunk: int = CHUNK,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Outputs, last state, and the states right after `positions`.

    query, key [batch, tokens, heads, d_k] (made unit here), value [batch, tokens, heads, d_v], g (log decay) and beta
    [batch, tokens, heads], initial_state [batch, heads, d_k, d_v], positions [batch, reads] token indices. Returns outputs
    [batch, tokens, heads, d_v] in the type of query, the last state in float32, and states [batch, reads, heads, d_k, d_v].
    """
    tokens, width = query.shape[1], query.shape[-1]
    q, k, v = (_chunks(x, chunk) for x in (query, key, value))
    q, k = _unit(q) * width**-0.5, _unit(k)
    decay, write = _chunks(g, chunk).cumsum(-1), _chunks(beta, chunk)[..., None]  # [batch, heads, chunks, size]
    later = torch.ones(chunk, chunk, dtype=torch.bool, device=q.device).triu(1)
    between = (decay[..., :, None] - decay[..., None, :]).masked_fill(later, float("-inf")).exp()  # decay from j to i
    written = k * write
    system = (written @ k.transpose(-1, -2)) * between
    grown = decay.exp()[..., None]
    solved = torch.linalg.solve_triangular(system, torch.cat([v * write, written * grown], -1), upper=False, unitriangular=True)
    new, old = solved.split([v.shape[-1], width], dim=-1)
    inside = (q @ k.transpose(-1, -2)) * between
    outer = q * grown
    leaving = (k * (decay[..., -1:] - decay).exp()[..., None]).transpose(-1, -2)
    kept = grown[..., -1:, :]  # what a chunk leaves of the state before it
    state = value.new_zeros(*q.shape[:2], width, v.shape[-1], dtype=torch.float32) if initial_state is None else initial_state.float()
    outputs = []
    states = None if positions is None else state.new_empty(*positions.shape, *state.shape[1:])
    reads = (
        []
        if positions is None
        else [(row, read, *divmod(at, chunk)) for row, ats in enumerate(positions.tolist()) for read, at in enumerate(ats)]
    )
    parts = zip(*(part.unbind(2) for part in (new, old, inside, outer, leaving, kept, k, decay)), strict=True)
    for n, (n_new, n_old, n_inside, n_outer, n_leaving, n_kept, n_k, n_decay) in enumerate(parts):
        correction = n_new - n_old @ state
        outputs.append(n_outer @ state + n_inside @ correction)
        here = [(row, read, offset) for row, read, of_chunk, offset in reads if of_chunk == n]
        if states is not None and here:
            row, read, offset = torch.tensor(here, device=q.device).T
            states[row, read] = _inside_chunk(state[row], correction[row], n_k[row], n_decay[row], offset)
        state = state * n_kept + n_leaving @ correction
    out = torch.cat(outputs, dim=2)[:, :, :tokens].transpose(1, 2).to(query.dtype)
    return out, state, states


def _inside_chunk(before: Tensor, correction: Tensor, k: Tensor, decay: Tensor, offset: Tensor) -> Tensor:
    """[reads, heads, d_k, d_v] after `offset` [reads] tokens more than one of a chunk, from the state before it."""
    at = decay.gather(-1, offset[:, None, None].expand(*decay.shape[:2], 1))  # [reads, heads, 1]
    ahead = torch.arange(k.shape[-2], device=k.device) > offset[:, None, None]
    weights = (at - decay).masked_fill(ahead, float("-inf")).exp()[..., None]
    return before * at.exp()[..., None] + (k * weights).transpose(-1, -2) @ correction
