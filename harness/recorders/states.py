"""Recurrent states of Gated DeltaNet layers at chosen positions, their decay and write strength; and states patched on the way.

While the block lasts those layers compute the delta rule with `harness/recorders/delta_rule.py`, which reads a state at any
position exactly; outputs stay what they were (tests: 2e-6 against token by token). Right padding cannot be seen from a position
before it; left padding needs the attention mask, as everywhere in the library.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from harness.recorders.delta_rule import gated_delta_rule

RULE = "torch_chunk_gated_delta_rule"


@dataclass
class DeltaStates:
    """Set before a forward pass: what to read, and what to patch. Filled by it: what was read."""

    positions: Tensor | None = None
    """[batch, reads] token indices."""
    patched: Mapping[int, Tensor] = field(default_factory=dict)
    """Layer to the state that stands in for its own after token `patched_after`, [batch, heads, d_k, d_v]."""
    patched_after: int = 0
    """Token index, the same in every row."""
    states: dict[int, Tensor] = field(default_factory=dict)
    """Layer to [batch, reads, heads, d_k, d_v]."""
    decay: dict[int, Tensor] = field(default_factory=dict)
    """Layer to the log decay of the state at every token (never positive), [batch, tokens, heads]."""
    beta: dict[int, Tensor] = field(default_factory=dict)
    """Layer to the write strength at every token, between 0 and 1, [batch, tokens, heads]."""


def delta_layers(layers: nn.ModuleList) -> dict[int, nn.Module]:
    """The Gated DeltaNet mixers by layer index."""
    mixers: dict[int, Any] = {index: getattr(layer, "linear_attn", None) for index, layer in enumerate(layers)}
    return {index: mixer for index, mixer in mixers.items() if mixer is not None}


@contextlib.contextmanager
def tap_states(layers: nn.ModuleList) -> Iterator[DeltaStates]:
    """Read and patch states in every forward pass of several tokens while the block lasts."""
    tap, current = DeltaStates(), -1
    mixers = delta_layers(layers)

    def rule(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        g: Tensor,
        beta: Tensor,
        initial_state: Tensor | None = None,
        output_final_state: bool = False,
        use_qk_l2norm_in_kernel: bool = False,
        **_rest: Any,
    ) -> tuple[Tensor, Tensor | None]:
        if not use_qk_l2norm_in_kernel:
            raise NotImplementedError("a Gated DeltaNet layer without unit queries and keys")
        tap.decay[current], tap.beta[current] = g.detach(), beta.detach()
        if current in tap.patched:
            cut = tap.patched_after + 1
            q, k, v, decay, write = ((x[:, :cut], x[:, cut:]) for x in (query, key, value, g, beta))
            head, _, _ = gated_delta_rule(q[0], k[0], v[0], decay[0], write[0], initial_state)
            tail, last, _ = gated_delta_rule(q[1], k[1], v[1], decay[1], write[1], tap.patched[current])
            return torch.cat([head, tail], dim=1), last if output_final_state else None
        out, last, states = gated_delta_rule(query, key, value, g, beta, initial_state, tap.positions)
        if states is not None:
            tap.states[current] = states
        return out, last if output_final_state else None

    def enter(index: int) -> Any:
        def hook(_module: nn.Module, _inputs: Any) -> None:
            nonlocal current
            current = index

        return hook

    with contextlib.ExitStack() as stack:
        for library in {sys.modules[type(mixer).__module__] for mixer in mixers.values()}:
            stack.callback(setattr, library, RULE, getattr(library, RULE))
            setattr(library, RULE, rule)
        for index, mixer in mixers.items():
            stack.callback(mixer.register_forward_pre_hook(enter(index)).remove)
        yield tap
