"""The residual stream after a layer (`hook_resid_post`): reading it, and adding a vector to it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from torch import Tensor, nn


def _after_layers(layers: Mapping[int, nn.Module], act: Callable[[int, Tensor], Tensor | None]) -> Callable[[], None]:
    def hook_for(index: int) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
            hidden = output[0] if isinstance(output, tuple) else output
            changed = act(index, hidden)
            if changed is None:
                return None
            return (changed, *output[1:]) if isinstance(output, tuple) else changed

        return hook

    handles = [layer.register_forward_hook(hook_for(index)) for index, layer in layers.items()]

    def remove() -> None:
        for handle in handles:
            handle.remove()

    return remove


@contextlib.contextmanager
def record_residual(layers: nn.ModuleList, indices: Collection[int]) -> Iterator[dict[int, Tensor]]:
    """After a forward pass the yielded dict maps layer index to [batch, tokens, d_model]."""
    streams: dict[int, Tensor] = {}

    def keep(index: int, hidden: Tensor) -> None:
        streams[index] = hidden.detach()

    remove = _after_layers({i: layers[i] for i in indices}, keep)
    try:
        yield streams
    finally:
        remove()


@contextlib.contextmanager
def add_to_residual(layers: nn.ModuleList, vectors: Mapping[int, Tensor], where: Callable[[], Tensor | None]) -> Iterator[None]:
    """Add `vectors[layer]` [d_model] after those layers; `where()` gives a [batch, tokens] mask, or None for everywhere."""

    def add(index: int, hidden: Tensor) -> Tensor:
        vector = vectors[index].to(hidden)
        mask = where()
        return hidden + (vector if mask is None else vector * mask[..., None].to(hidden))

    remove = _after_layers({i: layers[i] for i in vectors}, add)
    try:
        yield
    finally:
        remove()


@contextlib.contextmanager
def add_rows_to_residual(layers: nn.ModuleList, vectors: Mapping[int, Tensor]) -> Iterator[None]:
    """Add `vectors[layer]` [batch, d_model] after those layers, each row's own at all of its positions."""
    remove = _after_layers({i: layers[i] for i in vectors}, lambda index, hidden: hidden + vectors[index][:, None].to(hidden))
    try:
        yield
    finally:
        remove()


@contextlib.contextmanager
def feed_layers(layers: nn.ModuleList, streams: Mapping[int, Tensor]) -> Iterator[None]:
    """Give every layer `streams[layer]` [batch, tokens, d_model], as it is when the layer runs, instead of what the layers before made."""

    def hook_for(index: int) -> Any:
        def hook(_module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
            stream = streams[index]
            if "hidden_states" in named:
                return inputs, named | {"hidden_states": stream.to(named["hidden_states"])}
            return (stream.to(inputs[0]), *inputs[1:]), named

        return hook

    handles = [layer.register_forward_pre_hook(hook_for(index), with_kwargs=True) for index, layer in enumerate(layers)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
