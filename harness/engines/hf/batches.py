"""Rows of tokens as batches: which rows run together, their padding, and masks of the positions that a steering or a patch is meant for.

Scoring and recording pad on the right, which a causal model cannot see from a position before it; the library's generation pads on the left, with
a mask.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from harness.engines.protocol import Positions
from harness.engines.rows import Row


def batches_of(rows: Sequence[Row], budget: int) -> Iterator[list[int]]:
    """Indices of rows of similar length, longest first; a batch has at most `budget` tokens, padding included, or a single row."""
    order = sorted(range(len(rows)), key=lambda i: (-len(rows[i].tokens), i))
    batch: list[int] = []
    for index in order:
        if batch and (len(batch) + 1) * len(rows[batch[0]].tokens) > budget:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def padded(rows: Sequence[Row], pad: int, device: str) -> Tensor:
    """Token ids [rows, tokens], padded on the right."""
    width = max(len(row.tokens) for row in rows)
    return torch.tensor([[*row.tokens, *[pad] * (width - len(row.tokens))] for row in rows], device=device)


def padded_batches(rows: Sequence[Row], budget: int, pad: int, device: str) -> Iterator[tuple[list[int], Tensor]]:
    """Each batch of `batches_of`: its indices of rows, and its token ids [batch, tokens], padded on the right."""
    for batch in batches_of(rows, budget):
        yield batch, padded([rows[i] for i in batch], pad, device)


def padded_left(rows: Sequence[Row], pad: int, device: str) -> tuple[Tensor, Tensor]:
    """Token ids and their attention mask (1: a token, 0: padding), both [rows, tokens], padded on the left."""
    width = max(len(row.tokens) for row in rows)
    ids = torch.tensor([[pad] * (width - len(row.tokens)) + list(row.tokens) for row in rows], device=device)
    seen = torch.tensor([[0] * (width - len(row.tokens)) + [1] * len(row.tokens) for row in rows], device=device)
    return ids, seen


def positions_mask(mode: Positions, ids: Tensor, given: Tensor) -> Tensor | None:
    """Which positions of `ids` [rows, tokens] the mode means, [rows, tokens]; None for all. `given` [rows]: tokens of each prompt."""
    if mode == "both":
        return None
    prompt = torch.arange(ids.shape[1], device=ids.device)[None] < given[:, None]
    return prompt if mode == "prefill" else ~prompt
