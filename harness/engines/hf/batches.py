"""Rows of tokens as batches: which rows run together, their padding, and where each row's tokens and prompt lie in what is run.

Scoring and recording pad on the right, which a causal model cannot see from a position before it; the library's generation pads on the
left, with a mask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.engines.protocol import Positions
from harness.engines.rows import Row


@dataclass(frozen=True)
class Batch:
    """Rows that run in one pass."""

    rows: Sequence[int]
    """Their indices in the list that was asked for."""
    ids: Tensor
    """Token ids as they are run, [sequences, tokens]: a row in each sequence, or (packed) all rows in one."""
    prompt: Tensor
    """Which of the ids belong to a prompt, [sequences, tokens]."""
    before_scored: Tensor
    """For every scored token, row after row, the place of the token before it: an index into `ids` as one line, [scored tokens]."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """What the decoder is called with besides the ids."""

    def run(self, decoder: Any) -> Tensor:
        """The last hidden state [sequences, tokens, d_model], after the final norm."""
        hidden: Tensor = decoder(input_ids=self.ids, use_cache=False, **self.arguments).last_hidden_state
        return hidden

    def steered(self, mode: Positions) -> Tensor | None:
        """At which of the ids a steering or a patch for these positions acts, [sequences, tokens]; None for all."""
        return None if mode == "both" else self.prompt if mode == "prefill" else ~self.prompt


def batches_of(rows: Sequence[Row], budget: int) -> Iterator[list[int]]:
    """Indices of rows of similar length, longest first; a batch has at most `budget` tokens, padding included, or a single row."""
    longest_first = sorted(range(len(rows)), key=lambda i: (-len(rows[i].tokens), i))
    return shares(longest_first, lambda batch: len(batch) * len(rows[batch[0]].tokens), budget)


def shares(items: Sequence[int], size: Callable[[list[int]], int], budget: int) -> Iterator[list[int]]:
    """The items in order, cut into lists whose `size` is at most `budget`, or that hold a single item."""
    share: list[int] = []
    for item in items:
        if share and size([*share, item]) > budget:
            yield share
            share = []
        share.append(item)
    if share:
        yield share


def padded(rows: Sequence[Row], pad: int, device: str) -> Tensor:
    """Token ids [rows, tokens], padded on the right."""
    width = max(len(row.tokens) for row in rows)
    return torch.tensor([[*row.tokens, *[pad] * (width - len(row.tokens))] for row in rows], device=device)


def padded_ids(rows: Sequence[Row], budget: int, pad: int, device: str) -> Iterator[tuple[list[int], Tensor]]:
    """Each batch of `batches_of`: its indices of rows, and its token ids [batch, tokens], padded on the right."""
    for batch in batches_of(rows, budget):
        yield batch, padded([rows[i] for i in batch], pad, device)


def padded_batches(rows: Sequence[Row], budget: int, pad: int, device: str) -> Iterator[Batch]:
    """The same with where prompts and scored tokens lie, a row in each sequence."""
    for batch, ids in padded_ids(rows, budget, pad, device):
        chosen = [rows[i] for i in batch]
        given = torch.tensor([row.given for row in chosen], device=device)
        prompt = torch.arange(ids.shape[1], device=device)[None] < given[:, None]
        starts = np.arange(len(chosen)) * ids.shape[1]
        before = np.concatenate(
            [np.arange(start + row.given, start + len(row.tokens)) - 1 for start, row in zip(starts, chosen, strict=True)]
        )
        yield Batch(batch, ids, prompt, torch.from_numpy(before).to(device))


def padded_left(rows: Sequence[Row], pad: int, device: str) -> tuple[Tensor, Tensor]:
    """Token ids and their attention mask (1: a token, 0: padding), both [rows, tokens], padded on the left."""
    width = max(len(row.tokens) for row in rows)
    ids = torch.tensor([[pad] * (width - len(row.tokens)) + list(row.tokens) for row in rows], device=device)
    seen = torch.tensor([[0] * (width - len(row.tokens)) + [1] * len(row.tokens) for row in rows], device=device)
    return ids, seen
