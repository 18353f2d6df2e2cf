"""Activation patching: a subject runs on the same tokens as a donor, and what the donor said at chosen places stands in for its own.

Heads (Meng et al. 2022, arXiv:2202.05262; Heimersheim and Nanda 2024, arXiv:2404.15255), or all recurrent states at once after the last
token of the user's content. Only layers above the lowest patched one run again for each set of heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from harness.data.subject import Subject
from harness.engines.chat import tokenizer_of
from harness.engines.hf.batches import Batch, batches_of
from harness.engines.hf.donors import donations
from harness.engines.hf.models import Models
from harness.engines.hf.packed import packed_layers
from harness.engines.hf.packing import packed_batches, told
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

    def outputs(model: Any, batch: Batch) -> dict[int, Tensor]:
        with record_heads(model.get_decoder().layers) as heads, packed_layers():
            batch.run(model.get_decoder())
        return {layer: output.cpu() for layer, output in heads.items()}

    scored: list[dict[int, Scored]] = [{} for _ in head_sets]
    below = [min(chosen, default=0) - 1 for chosen in head_sets]  # the last layer that a set does not touch; -1: none
    for share in donations(models, donor, list(models.batches(subject, rows, budget)), outputs):
        with models.ready(subject) as model, packed_layers():
            decoder = model.get_decoder()
            for batch, donated in share:
                plain = PlainPass(decoder, batch, {layer for layer in below if 0 <= layer < len(decoder.layers)})
                for answers, chosen, last in zip(scored, head_sets, below, strict=True):
                    with patch_heads(decoder.layers, donated, chosen, batch.steered(positions)):
                        hidden = plain.again(last) if last >= 0 else batch.run(decoder)
                    answers.update(read_scores(model, rows, batch, hidden))
    return [[answers[i] for i in range(len(rows))] for answers in scored]


def score_rows_patched_states(models: Models, subject: Subject, donor: Subject, rows: Sequence[Row], budget: int) -> list[Scored]:
    """Every row with the donor's recurrent states standing in for the subject's after the last token of the user's content.

    ValueError for a model without Gated DeltaNet layers.
    """
    if not delta_layers(models.base(subject).get_decoder().layers):
        raise ValueError("the model has no Gated DeltaNet layers, so no recurrent states to patch")
    scored = (
        _packed_states(models, subject, donor, rows, budget) if models.packs(subject) else _cut_states(models, subject, donor, rows, budget)
    )
    return [scored[i] for i in range(len(rows))]


def _packed_states(models: Models, subject: Subject, donor: Subject, rows: Sequence[Row], budget: int) -> dict[int, Scored]:
    """The stems of packed rows end where the states are patched."""

    def states(model: Any, batch: Batch) -> dict[int, Tensor]:
        kept: dict[int, Tensor] = {}
        with packed_layers():
            told(batch, kept=kept).run(model.get_decoder())
        return kept

    scored: dict[int, Scored] = {}
    for share in donations(models, donor, list(packed_batches(rows, budget, models.device, after_content=True)), states):
        with models.ready(subject) as model, packed_layers():
            for batch, donated in share:
                scored |= read_scores(model, rows, batch, told(batch, patched=donated).run(model.get_decoder()))
    return scored


def _cut_states(models: Models, subject: Subject, donor: Subject, rows: Sequence[Row], budget: int) -> dict[int, Scored]:
    """The library's layers, with the recorder's delta rule cut in two where the states are patched."""

    def states(model: Any, one: tuple[Batch, int]) -> dict[int, Tensor]:
        (batch, at), decoder = one, model.get_decoder()
        with tap_states(decoder.layers) as tap:
            tap.positions = torch.full((len(batch.rows), 1), at, device=models.device)
            decoder(input_ids=batch.ids[:, : at + 1], attention_mask=batch.arguments["attention_mask"][:, : at + 1], use_cache=False)
        return {layer: found[:, 0] for layer, found in tap.states.items()}

    scored: dict[int, Scored] = {}
    aligned = [_aligned(rows, batch, tokenizer_of(subject).pad_token_id, models.device) for batch in batches_of(rows, budget)]
    for share in donations(models, donor, aligned, states):
        with models.ready(subject) as model, tap_states(model.get_decoder().layers) as tap:
            for (batch, at), donated in share:
                tap.patched, tap.patched_after = donated, at
                scored |= read_scores(model, rows, batch, batch.run(model.get_decoder()))
    return scored


def _aligned(rows: Sequence[Row], batch: list[int], pad: int, device: str) -> tuple[Batch, int]:
    """A batch padded on the left so that the last tokens of the users' contents share a column, and that column: one cut for all rows."""
    at = max(rows[i].content_end for i in batch)
    lefts = [at - rows[i].content_end for i in batch]
    width = max(len(rows[i].tokens) + left for i, left in zip(batch, lefts, strict=True))
    ids = torch.full((len(batch), width), pad, device=device)
    seen, prompt, before = torch.zeros_like(ids), torch.zeros_like(ids, dtype=torch.bool), []
    for place, (i, left) in enumerate(zip(batch, lefts, strict=True)):
        given, end = left + rows[i].given, left + len(rows[i].tokens)
        ids[place, left:end] = torch.tensor(rows[i].tokens, device=device)
        seen[place, left:], prompt[place, :given] = 1, True
        before.append(torch.arange(given - 1, end - 1, device=device) + place * width)
    return Batch(batch, ids, prompt, torch.cat(before), {"attention_mask": seen}), at
