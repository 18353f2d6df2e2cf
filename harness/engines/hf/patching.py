"""Activation patching: a subject runs on the same tokens as a donor, and what the donor said at chosen places stands in for its own.

Heads (Meng et al. 2022, arXiv:2202.05262; Heimersheim and Nanda 2024, arXiv:2404.15255), or all recurrent states at once after the last
token of the user's content. Only layers above the lowest patched one run again for each set of heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.data.subject import Subject
from harness.engines.chat import tokenizer_of
from harness.engines.hf.batches import batches_of, padded_batches, positions_mask
from harness.engines.hf.models import Models
from harness.engines.hf.scoring import read_scores
from harness.engines.hf.suffix import PlainPass
from harness.engines.protocol import HeadSet, Positions, Scored
from harness.engines.rows import Row
from harness.recorders.heads import patch_heads, record_heads
from harness.recorders.states import delta_layers, tap_states


def score_rows_patched_heads(
    models: Models,
    subject: Subject,
    donor: Subject,
    rows: Sequence[Row],
    head_sets: Sequence[HeadSet],
    positions: Positions,
    budget: int,
) -> list[list[Scored]]:
    """[head sets][rows]. ValueError for a head that the model does not have."""
    batches = list(padded_batches(rows, budget, tokenizer_of(subject).pad_token_id, models.device))
    said: list[dict[int, Tensor]] = []
    with models.ready(donor) as model, record_heads(model.get_decoder().layers) as heads:
        for _, ids in batches:
            model.get_decoder()(input_ids=ids, use_cache=False)
            said.append({layer: output.cpu() for layer, output in heads.items()})
    scored: list[dict[int, Scored]] = [{} for _ in head_sets]
    below = [min(chosen, default=0) - 1 for chosen in head_sets]  # the last layer that a set does not touch; -1: none
    with models.ready(subject) as model:
        decoder = model.get_decoder()
        for (batch, ids), donated in zip(batches, said, strict=True):
            where = positions_mask(positions, ids, torch.tensor([rows[i].given for i in batch], device=ids.device))
            plain = PlainPass(decoder, ids, {layer for layer in below if 0 <= layer < len(decoder.layers)})
            for answers, chosen, last in zip(scored, head_sets, below, strict=True):
                with patch_heads(decoder.layers, donated, chosen, where):
                    hidden = plain.again(last) if last >= 0 else decoder(input_ids=ids, use_cache=False).last_hidden_state
                answers.update(read_scores(model, rows, batch, ids, hidden))
    return [[answers[i] for i in range(len(rows))] for answers in scored]


def score_rows_patched_states(models: Models, subject: Subject, donor: Subject, rows: Sequence[Row], budget: int) -> list[Scored]:
    """Every row with the donor's recurrent states standing in for the subject's after the last token of the user's content.

    ValueError for a model without Gated DeltaNet layers.
    """
    batches = [_aligned(rows, batch, tokenizer_of(subject).pad_token_id, models.device) for batch in batches_of(rows, budget)]
    donated: list[dict[int, Tensor]] = []
    with models.ready(donor) as model, tap_states(model.get_decoder().layers) as tap:
        if not delta_layers(model.get_decoder().layers):
            raise ValueError("the model has no Gated DeltaNet layers, so no recurrent states to patch")
        for one in batches:
            tap.positions, cut = torch.full((len(one.batch), 1), one.at, device=one.ids.device), one.at + 1
            model.get_decoder()(input_ids=one.ids[:, :cut], attention_mask=one.seen[:, :cut], use_cache=False)
            donated.append({layer: states[:, 0] for layer, states in tap.states.items()})
    scored: dict[int, Scored] = {}
    with models.ready(subject) as model, tap_states(model.get_decoder().layers) as tap:
        for one, states in zip(batches, donated, strict=True):
            tap.patched, tap.patched_after = states, one.at
            hidden = model.get_decoder()(input_ids=one.ids, attention_mask=one.seen, use_cache=False).last_hidden_state
            scored |= read_scores(model, rows, one.batch, one.ids, hidden, one.moved)
    return [scored[i] for i in range(len(rows))]


@dataclass(frozen=True)
class _Aligned:
    """A batch padded on the left so that the last tokens of the users' contents share a column: one cut serves all rows."""

    batch: list[int]
    ids: Tensor  # [batch, tokens]
    seen: Tensor  # [batch, tokens], 0 for padding on the left
    at: int
    """The shared column."""
    moved: list[int]
    """By how many tokens each row is padded on the left, [batch]."""


def _aligned(rows: Sequence[Row], batch: list[int], pad: int, device: str) -> _Aligned:
    at = max(rows[i].content_end for i in batch)
    moved = [at - rows[i].content_end for i in batch]
    width = max(len(rows[i].tokens) + left for i, left in zip(batch, moved, strict=True))
    ids = torch.full((len(batch), width), pad, device=device)
    seen = torch.zeros_like(ids)
    for place, (i, left) in enumerate(zip(batch, moved, strict=True)):
        ids[place, left : left + len(rows[i].tokens)] = torch.tensor(rows[i].tokens, device=device)
        seen[place, left:] = 1
    return _Aligned(batch, ids, seen, at, moved)
