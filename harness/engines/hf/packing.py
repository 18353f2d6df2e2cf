"""Rows that begin alike, packed: what they share is run once, then what each goes on with, all in one sequence without padding.

A group of rows is a stem, the beginning that they have in common, and a branch for each row: the positions of a branch go on after the
stem, and its tokens see the stem and themselves. The two completions of a pair share their prompt and the words they begin with alike,
a third of all tokens of the shipped behavior. Only layers that are told (`packed.py`) can run such a sequence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.engines.hf.batches import Batch, shares
from harness.engines.rows import Row

SHORTEST_STEM = 8
"""Tokens that rows must have in common to be worth a group."""

ALIKE = 8
"""Within how many tokens stems are of one length, so that those with branches of one length run together: both are padded for the delta
rule."""
LAYER_TYPES = ("full_attention", "linear_attention")
"""What a decoder keeps a mask for."""

Places = NDArray[np.int64]
"""Indices of tokens in the packed sequence."""


@dataclass(frozen=True)
class Block:
    """Some tokens of the sequence as rows of equal length: [rows, longest]."""

    at: Tensor
    """Places in the sequence; behind a row's end the sequence's first."""
    real: Tensor
    """False behind a row's end."""

    @staticmethod
    def of(rows: Sequence[Places], device: str) -> Block:
        longest = max(map(len, rows))
        at = np.full((len(rows), longest), -1)
        for line, row in zip(at, rows, strict=True):
            line[: len(row)] = row
        padded = torch.from_numpy(at).to(device)
        return Block(padded.clamp(min=0), padded >= 0)

    def rows_of(self, x: Tensor) -> Tensor:
        """[rows, longest, ...] from x [tokens, ...]."""
        return x.index_select(0, self.at.flatten()).view(*self.at.shape, *x.shape[1:])


@dataclass(frozen=True)
class Packing:
    """Which tokens of a packed sequence come before which."""

    stems: Block
    """[groups, longest stem]"""
    branches: Block
    """[branches, longest branch]"""
    group: Tensor
    """Which group each branch belongs to, [branches]."""
    groups: Block
    """Every group's stem and branches, [groups, longest]."""
    unseen: Tensor
    """Added to attention scores, [groups, 1, longest, longest]: 0 where a token sees another, -inf where not; each sees one at least."""
    previous: Places
    """The place of the token before each token, [tokens]; -1 before a stem's first."""
    patched: Mapping[int, Tensor] = field(default_factory=dict)
    """Gated DeltaNet layer to the states that stand in for its own after the stems, [groups, heads, d_k, d_v]."""
    kept: dict[int, Tensor] | None = None
    """Filled by a pass, where it is not None: layer to its states after the stems, [groups, heads, d_k, d_v]."""

    @cached_property
    def from_stems_and_branches(self) -> Tensor:
        """Where each token of the sequence lies in the stems' entries followed by the branches', [tokens]."""
        return _inverse(torch.cat([self.stems.real.flatten(), self.branches.real.flatten()]), self._at(self.stems, self.branches))

    @cached_property
    def from_groups(self) -> Tensor:
        """Where each token of the sequence lies in the groups' entries, [tokens]."""
        return _inverse(self.groups.real.flatten(), self._at(self.groups))

    @staticmethod
    def _at(*blocks: Block) -> Tensor:
        return torch.cat([block.at.flatten() for block in blocks])

    def seams(self, kernel: int) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens before which, within `kernel` - 1 places, something else stands in the sequence than what they come after.

        Their places [seams]; the places of the last `kernel` tokens up to them [seams, kernel]; and which of those there are.
        """
        if kernel not in self._seams:
            here = np.arange(len(self.previous))
            windows = [here]
            for _ in range(kernel - 1):
                windows.insert(0, np.where(windows[0] < 0, -1, self.previous[windows[0]]))
            window = np.stack(windows, axis=1)
            at = np.flatnonzero((window != here[:, None] + np.arange(1 - kernel, 1)).any(axis=1))
            chosen = torch.from_numpy(window[at]).to(self.group.device)
            self._seams[kernel] = torch.from_numpy(at).to(self.group.device), chosen.clamp(min=0), chosen >= 0
        return self._seams[kernel]

    @cached_property
    def _seams(self) -> dict[int, tuple[Tensor, Tensor, Tensor]]:
        return {}


def _inverse(real: Tensor, at: Tensor) -> Tensor:
    entries = real.nonzero()[:, 0]
    found = torch.empty_like(entries)
    found[at[entries]] = entries
    return found


def packed_batches(rows: Sequence[Row], budget: int, device: str, after_content: bool = False) -> Iterator[Batch]:
    """Batches of at most `budget` tokens, or of a single group; every layer's argument `attention_mask` is the batch's Packing.

    Rows of one prompt make a group. Its stem ends where they part, or, with `after_content`, with the last token of the user's content.
    """
    groups = _groups(rows, after_content)
    tokens = [stem + sum(len(rows[i].tokens) - stem for i in members) for members, stem in groups]
    branch = [max(len(rows[i].tokens) for i in members) - stem for members, stem in groups]
    longest_first = sorted(range(len(groups)), key=lambda g: (-(groups[g][1] // ALIKE), -branch[g], g))
    for share in shares(longest_first, lambda batch: sum(tokens[g] for g in batch), budget):
        yield _packed(rows, [groups[g] for g in share], device)


def told(batch: Batch, **changes: Any) -> Batch:
    """The batch with other values in the fields of its Packing."""
    packing = replace(batch.arguments["attention_mask"]["full_attention"], **changes)
    return replace(batch, arguments={**batch.arguments, "attention_mask": dict.fromkeys(LAYER_TYPES, packing)})


def _groups(rows: Sequence[Row], after_content: bool) -> list[tuple[list[int], int]]:
    """Rows of one prompt and the length of their stem, always less than that of the shortest row."""
    by_prompt: dict[tuple[int, ...], list[int]] = {}
    for i, row in enumerate(rows):
        by_prompt.setdefault(row.tokens[: row.given] if row.given >= SHORTEST_STEM else (i,), []).append(i)
    groups = []
    for members in by_prompt.values():
        first, most = rows[members[0]], min(len(rows[i].tokens) for i in members) - 1
        stem = first.given
        if after_content:
            stem = first.content_end + 1
        elif len(members) > 1:
            columns = zip(*(rows[i].tokens[:most] for i in members), strict=True)
            stem = next((t for t, column in enumerate(columns) if len(set(column)) > 1), most)
        groups.append((members, stem))
    return groups


def _packed(rows: Sequence[Row], groups: Sequence[tuple[list[int], int]], device: str) -> Batch:
    ids: list[int] = []
    depth: list[int] = []
    prompt: list[bool] = []
    previous: list[int] = []
    stems, branches, wholes, owner, sees, before = [], [], [], [], [], []

    def put(row: Row, start: int, stop: int, after: int) -> Places:
        places = np.arange(len(ids), len(ids) + stop - start)
        ids.extend(row.tokens[start:stop])
        depth.extend(range(start, stop))
        prompt.extend(t < row.given for t in range(start, stop))
        previous.extend((after, *places[:-1]))
        return places

    for g, (members, stem) in enumerate(groups):
        stems.append(put(rows[members[0]], 0, stem, -1))
        of_group = [put(rows[i], stem, len(rows[i].tokens), stems[-1][-1]) for i in members]
        before += [np.concatenate([stems[-1], branch])[rows[i].given - 1 : -1] for i, branch in zip(members, of_group, strict=True)]
        wholes.append(np.concatenate([stems[-1], *of_group]))
        sees.append(np.repeat(np.arange(-1, len(members)), [stem, *map(len, of_group)]))  # each token's branch; -1: the stem's
        branches += of_group
        owner += [g] * len(members)
    packing = Packing(
        Block.of(stems, device),
        Block.of(branches, device),
        torch.tensor(owner, device=device),
        Block.of(wholes, device),
        torch.from_numpy(_unseen(sees)).to(device),
        np.array(previous),
    )
    where = {"position_ids": torch.tensor([depth], device=device), "attention_mask": dict.fromkeys(LAYER_TYPES, packing)}
    order = [i for members, _ in groups for i in members]
    as_read = torch.from_numpy(np.concatenate(before)).to(device)
    return Batch(order, torch.tensor([ids], device=device), torch.tensor([prompt], device=device), as_read, where)


def _unseen(branches: Sequence[Places]) -> NDArray[np.float32]:
    """[groups, 1, longest, longest] from the branch of each token of each group, -1 for a stem's."""
    longest = max(map(len, branches))
    of = np.stack([np.pad(one, (0, longest - len(one)), constant_values=-1) for one in branches])
    sees = np.tri(longest, dtype=bool) & ((of[:, None] == -1) | (of[:, None] == of[:, :, None]))
    return np.where(sees, np.float32(0), np.float32(-np.inf))[:, None]
