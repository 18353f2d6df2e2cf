"""Run a decoder once, then only its upper layers again for every steering or patch: what a sweep at one layer needs.

The layers below a changed one do not see it. So their output is kept from one plain pass, with the arguments that every
upper layer was called with, and only the upper layers run again. Equal to a full pass with the change (tests); where
the fifth of eight layers is steered, a vector costs three layers instead of eight.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from torch import Tensor

from harness.engines.hf.batches import Batch


def _stream(output: Any) -> Tensor:
    hidden: Tensor = output[0] if isinstance(output, tuple) else output
    return hidden


class PlainPass:
    """One pass without steering. `last_hidden_state` is [batch, tokens, d_model], after the final norm."""

    def __init__(self, decoder: Any, batch: Batch, resume_after: Collection[int]) -> None:
        self._decoder = decoder
        self._streams: dict[int, Tensor] = {}
        self._arguments: dict[int, Mapping[str, Any]] = {}
        lowest = min(resume_after, default=len(decoder.layers))

        def keep_stream(index: int) -> Callable[..., None]:
            def hook(_module: Any, _inputs: Any, output: Any) -> None:
                self._streams[index] = _stream(output)

            return hook

        def keep_arguments(index: int) -> Callable[..., None]:
            def hook(_module: Any, _inputs: Any, arguments: dict[str, Any]) -> None:
                self._arguments[index] = {name: value for name, value in arguments.items() if name != "hidden_states"}

            return hook

        handles = [decoder.layers[i].register_forward_hook(keep_stream(i)) for i in set(resume_after)]
        handles += [
            decoder.layers[i].register_forward_pre_hook(keep_arguments(i), with_kwargs=True) for i in range(lowest + 1, len(decoder.layers))
        ]
        try:
            self.last_hidden_state: Tensor = batch.run(decoder)
        finally:
            for handle in handles:
                handle.remove()

    def steered(self, vectors: Mapping[int, Tensor], mask: Tensor | None) -> Tensor:
        """The last hidden state with `vectors[layer]` [d_model] added after those layers, where `mask` [batch, tokens] says."""

        def added(index: int, hidden: Tensor) -> Tensor:
            vector = vectors[index].to(hidden)
            return hidden + (vector if mask is None else vector * mask[..., None].to(hidden))

        first = min(vectors)
        return self._resumed(
            first, added(first, self._streams[first]), lambda index, hidden: added(index, hidden) if index in vectors else hidden
        )

    def again(self, after: int) -> Tensor:
        """The last hidden state when the layers above `after` run once more, with the hooks they have by then: a patch, for example."""
        return self._resumed(after, self._streams[after], lambda _index, hidden: hidden)

    def _resumed(self, after: int, hidden: Tensor, change: Callable[[int, Tensor], Tensor]) -> Tensor:
        for index in range(after + 1, len(self._decoder.layers)):
            hidden = change(index, _stream(self._decoder.layers[index](hidden, **self._arguments[index])))
        normed: Tensor = self._decoder.norm(hidden)
        return normed
