"""What one subject's passes hand to another's, a share at a time: never all layers of all tokens at once, nor both subjects at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from torch import Tensor

from harness.data.subject import Subject
from harness.engines.hf.models import Models

HELD_BYTES = 2**30
"""Bytes of a share; the pass that reaches them is the share's last."""

T = TypeVar("T")


def donations(
    models: Models, donor: Subject, asked: Sequence[T], give: Callable[[Any, T], Mapping[int, Tensor]]
) -> Iterator[list[tuple[T, Mapping[int, Tensor]]]]:
    """Everything asked with what `give` reads for it from the donor's model, by layer, in shares. The donor is put away before a share."""
    waiting = list(reversed(asked))
    while waiting:
        share: list[tuple[T, Mapping[int, Tensor]]] = []
        held = 0
        with models.ready(donor) as model:
            while waiting and held < HELD_BYTES:
                one = waiting.pop()
                share.append((one, give(model, one)))
                held += sum(tensor.nbytes for tensor in share[-1][1].values())
        yield share
