"""Output of every head before the output projection, for attention (after its gate) and Gated DeltaNet heads alike.

Both kinds end in a linear layer that mixes heads (`o_proj`, `out_proj`); its input, cut into heads, is what each head says.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

HeadKind = Literal["attention", "gated_delta_net"]


@dataclass(frozen=True)
class HeadLayout:
    """One layer's mixer: its kind, its number of heads and the module whose input they are."""

    kind: HeadKind
    heads: int
    projection: nn.Module


def head_layouts(layers: nn.ModuleList) -> dict[int, HeadLayout]:
    """Layout of every decoder layer that has one, by layer index."""
    layouts: dict[int, HeadLayout] = {}
    for index, layer in enumerate(layers):
        attention, delta = getattr(layer, "self_attn", None), getattr(layer, "linear_attn", None)
        if attention is not None:
            projection: Any = attention.o_proj
            layouts[index] = HeadLayout("attention", projection.in_features // attention.head_dim, projection)
        elif delta is not None:
            layouts[index] = HeadLayout("gated_delta_net", delta.num_v_heads, delta.out_proj)
    return layouts


@contextlib.contextmanager
def record_heads(layers: nn.ModuleList) -> Iterator[dict[int, Tensor]]:
    """After a forward pass the yielded dict maps layer index to [batch, tokens, heads, head width]."""
    outputs: dict[int, Tensor] = {}
    handles = []

    def hook_for(index: int, heads: int) -> Any:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            mixed = inputs[0].detach()
            outputs[index] = mixed.reshape(*mixed.shape[:-1], heads, -1)

        return hook

    for index, layout in head_layouts(layers).items():
        handles.append(layout.projection.register_forward_pre_hook(hook_for(index, layout.heads)))
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()
