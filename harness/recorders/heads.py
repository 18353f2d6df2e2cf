"""Output of every head before the output projection, for attention (after its gate) and Gated DeltaNet heads alike: read, or replaced.

Both kinds end in a linear layer that mixes heads (`o_proj`, `out_proj`); its input, cut into heads, is what each head says.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
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


@contextlib.contextmanager
def patch_heads(
    layers: nn.ModuleList, donor: Mapping[int, Tensor], heads: Mapping[int, Sequence[int]], where: Tensor | None
) -> Iterator[None]:
    """Replace what the named heads say by `donor[layer]` [batch, tokens, heads, head width].

    `where` [batch, tokens] says at which tokens (None: at all). Raises ValueError for a head that the layer does not have.
    """
    layouts = head_layouts(layers)
    for layer, chosen in heads.items():
        count = layouts[layer].heads if layer in layouts else 0
        if any(not 0 <= head < count for head in chosen):
            raise ValueError(f"layer {layer} has {count} heads; asked for {sorted(chosen)}")

    def hook_for(layer: int, chosen: Sequence[int]) -> Any:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            mixed = inputs[0].reshape(donor[layer].shape).clone()
            picked, said = list(chosen), donor[layer].to(mixed)
            mixed[:, :, picked] = (
                said[:, :, picked] if where is None else mixed[:, :, picked].where(~where[..., None, None], said[:, :, picked])
            )
            return (mixed.reshape(inputs[0].shape), *inputs[1:])

        return hook

    handles = [layouts[layer].projection.register_forward_pre_hook(hook_for(layer, chosen)) for layer, chosen in heads.items() if chosen]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
