"""Activation patching: a subject runs on the same tokens as a donor, and what the donor said at chosen places stands in for its own.

Heads (Meng et al. 2022, arXiv:2202.05262; Heimersheim and Nanda 2024, arXiv:2404.15255), or all recurrent states at once after the last
token of the user's content. Only layers above the lowest patched one run again for each set of heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from harness.data.subject import Subject
from harness.engines.chat import tokenizer_of
from harness.engines.hf.batches import Batch, batches_of
from harness.engines.hf.models import Models
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
    batches = list(models.batches(subject, rows, budget))
    said: list[dict[int, Tensor]] = []
    with models.ready(donor) as model, record_heads(model.get_decoder().layers) as heads:
        for batch in batches:
            batch.run(model.get_decoder())
            said.append({layer: output.cpu() for layer, output in heads.items()})
    scored: list[dict[int, Scored]] = [{} for _ in head_sets]
    below = [min(chosen, default=0) - 1 for chosen in head_sets]  # the last layer that a set does not touch; -1: none
    with models.ready(subject) as model:
        decoder = model.get_decoder()
        for batch, donated in zip(batches, said, strict=True):
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
    donated: list[dict[int, Tensor]] = []
    scored: dict[int, Scored] = {}
    if models.packs(subject):
        batches = list(packed_batches(rows, budget, models.device, after_content=True))
        with models.ready(donor) as model:
            _refuse_stateless(model)
            for batch in batches:
                donated.append({})
                told(batch, kept=donated[-1]).run(model.get_decoder())
        with models.ready(subject) as model:
            for batch, states in zip(batches, donated, strict=True):
                scored |= read_scores(model, rows, batch, told(batch, patched=states).run(model.get_decoder()))
        return [scored[i] for i in range(len(rows))]
    aligned = [_aligned(rows, batch, tokenizer_of(subject).pad_token_id, models.device) for batch in batches_of(rows, budget)]
    with models.ready(donor) as model, tap_states(model.get_decoder().layers) as tap:
        _refuse_stateless(model)
        for batch, at in aligned:
            tap.positions = torch.full((len(batch.rows), 1), at, device=models.device)
            replace(batch, ids=batch.ids[:, : at + 1], arguments={"attention_mask": batch.arguments["attention_mask"][:, : at + 1]}).run(model.get_decoder())
            donated.append({layer: states[:, 0] for layer, states in tap.states.items()})
    with models.ready(subject) as model, tap_states(model.get_decoder().layers) as tap:
        for (batch, at), states in zip(aligned, donated, strict=True):
            tap.patched, tap.patched_after = states, at
            scored |= read_scores(model, rows, batch, batch.run(model.get_decoder()))
    return [scored[i] for i in range(len(rows))]


def _refuse_stateless(model: Any) -> None:
    if not delta_layers(model.get_decoder().layers):
        raise ValueError("the model has no Gated DeltaNet layers, so no recurrent states to patch")


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
