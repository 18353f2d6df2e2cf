"""Recordings of what happens inside a model: attention rows, head outputs, residual stream and recurrent states of one forward pass.

With `fed_by` every layer is given the residual stream of another subject, so that what is recorded differs by that layer's own weights
alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.data.errors import InstrumentError
from harness.data.subject import Subject
from harness.engines.chat import tokenizer_of
from harness.engines.hf.batches import Batch, padded_batches
from harness.engines.hf.donors import donations
from harness.engines.hf.models import Models
from harness.engines.protocol import Recorded, Sites
from harness.engines.rows import Row
from harness.recorders.attention import AttentionRows, record_attention
from harness.recorders.heads import record_heads
from harness.recorders.residual import feed_layers, record_residual
from harness.recorders.states import DeltaStates, tap_states


def record_rows(models: Models, subject: Subject, rows: Sequence[Row], sites: Sites, fed_by: Subject | None, budget: int) -> list[Recorded]:
    """One recording a row; with `fed_by` every layer is fed that subject's residual stream. InstrumentError where a row was left out."""
    recorded: list[Recorded | None] = [None] * len(rows)
    batches = list(padded_batches(rows, budget, tokenizer_of(subject).pad_token_id, models.device))
    shares = [[(batch, None) for batch in batches]] if fed_by is None else donations(models, fed_by, batches, _layer_inputs)
    for share in shares:
        with models.ready(subject) as model, contextlib.ExitStack() as stack:
            layers = model.get_decoder().layers
            streams: dict[int, Tensor] = {}
            if fed_by is not None:
                stack.enter_context(feed_layers(layers, streams))
            taps = _Taps(
                attention=stack.enter_context(record_attention(model)) if sites.attention else None,
                heads=stack.enter_context(record_heads(layers)) if sites.heads else {},
                residual=stack.enter_context(record_residual(layers, sites.residual_layers)) if sites.residual_layers else {},
                states=stack.enter_context(tap_states(layers)) if sites.state_layers else None,
            )
            for batch, fed in share:
                streams.update(fed or {})
                taps.aim([rows[i] for i in batch.rows], sites, batch.ids.device)
                batch.run(model.get_decoder())
                for place, i in enumerate(batch.rows):
                    recorded[i] = taps.read(place, rows[i], sites)
    if any(one is None for one in recorded):
        raise InstrumentError("the engine did not record every conversation")
    return [one for one in recorded if one is not None]


@dataclass(frozen=True)
class _Taps:
    """The recorders of one pass; None, or empty, where they were not asked for."""

    attention: AttentionRows | None
    heads: dict[int, Tensor]  # layer to [batch, tokens, heads, head width]
    residual: dict[int, Tensor]  # layer to [batch, tokens, d_model]
    states: DeltaStates | None

    def aim(self, rows: Sequence[Row], sites: Sites, device: torch.device) -> None:
        """Before a pass over these rows: at which positions attention rows and states are read."""
        if self.attention is not None:
            ends = [len(row.tokens) - 1 if sites.reply else row.given for row in rows]
            most = max(end - row.given for row, end in zip(rows, ends, strict=True))
            starts = torch.tensor([row.given - 1 for row in rows], device=device)
            last = torch.tensor(ends, device=device)[:, None] - 1
            asked = starts[:, None] + torch.arange(most + 1, device=device)
            self.attention.positions, self.attention.rows = asked.minimum(last.maximum(starts[:, None])), {}
        if self.states is not None:
            self.states.positions = torch.tensor([[row.content_end, row.given - 1] for row in rows], device=device)

    def read(self, place: int, row: Row, sites: Sites) -> Recorded:
        """What the pass left of the row at this place of its batch."""
        given, length = row.given, len(row.tokens)
        stop = max(given, length - 1) if sites.reply else given
        states, chosen = self.states, sites.state_layers
        return Recorded(
            attention=_attention_of(self.attention.rows, place, stop - given + 1, stop) if self.attention is not None else None,
            heads={layer: out[place, given - 1 : stop].float().cpu().numpy().copy() for layer, out in self.heads.items()},
            residual={layer: out[place, given:length].float().mean(0).cpu().numpy() for layer, out in self.residual.items()},
            norms={layer: float(out[place, 1:length].float().norm(dim=-1).median()) for layer, out in self.residual.items()},
            states={layer: states.states[layer][place].cpu().numpy() for layer in chosen} if states else {},
            dynamics={layer: _dynamics(states, layer, place, given) for layer in chosen} if states else {},
        )


def _attention_of(rows: dict[int, Tensor], place: int, count: int, keys: int) -> NDArray[np.float32]:
    """[full-attention layers, heads, rows, keys] of one conversation."""
    if not rows:
        return np.zeros((0, 0, count, keys), np.float32)
    return np.stack([rows[layer][place, :, :count, :keys].cpu().numpy() for layer in sorted(rows)])


def _dynamics(states: DeltaStates, layer: int, place: int, given: int) -> NDArray[np.float32]:
    """[2, heads]: mean log decay and mean write strength over one prompt."""
    return (
        torch.stack([states.decay[layer][place, :given].float().mean(0), states.beta[layer][place, :given].float().mean(0)]).cpu().numpy()
    )


def _layer_inputs(model: Any, batch: Batch) -> dict[int, Tensor]:
    """The residual stream before every layer, [batch, tokens, d_model] each."""
    layers = model.get_decoder().layers
    with record_residual(layers, range(len(layers) - 1)) as streams:
        batch.run(model.get_decoder())
    return {0: model.get_input_embeddings()(batch.ids).cpu(), **{i + 1: stream.cpu() for i, stream in streams.items()}}
