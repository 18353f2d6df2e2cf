"""Log-probabilities of rows, plain and under many steerings: one pass of all layers, then the layers above each steered one again.

Only the scored positions go through the vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.data.subject import Subject
from harness.engines.hf.batches import Batch
from harness.engines.hf.models import Models
from harness.engines.hf.packed import packed_layers
from harness.engines.hf.steering import vectors_of
from harness.engines.hf.suffix import PlainPass
from harness.engines.protocol import Scored, Steering
from harness.engines.rows import Row, refuse_unscored


def score_rows(
    models: Models, subject: Subject, rows: Sequence[Row], steerings: Sequence[Steering | None], budget: int
) -> list[list[Scored]]:
    """[steerings][rows]; None is no steering. ValueError for a row without a scored token, or a steering that does not fit the model."""
    refuse_unscored(rows)
    scored: list[dict[int, Scored]] = [{} for _ in steerings]
    with models.ready(subject) as model, packed_layers():
        vectors = [None if steering is None else vectors_of(model, steering) for steering in steerings]
        resumed = {min(each) for each in vectors if each}
        for batch in models.batches(subject, rows, budget):
            plain = PlainPass(model.get_decoder(), batch, resumed)
            for answers, steering, added in zip(scored, steerings, vectors, strict=True):
                hidden = plain.last_hidden_state
                if steering is not None and added:
                    hidden = plain.steered(added, batch.steered(steering.positions))
                answers.update(read_scores(model, rows, batch, hidden))
    return [[answers[i] for i in range(len(rows))] for answers in scored]


def logits_of(model: Any, hidden: Tensor) -> Tensor:
    """Logits in float32, [..., vocabulary], from the last hidden state [..., d_model]."""
    logits: Tensor = model.get_output_embeddings()(hidden).float()
    cap = getattr(model.config, "final_logit_softcapping", None)
    return torch.tanh(logits / cap) * cap if cap else logits


def read_scores(model: Any, rows: Sequence[Row], batch: Batch, hidden: Tensor) -> dict[int, Scored]:
    """Scores of every row of a batch, by its index in `rows`, from the last hidden state [sequences, tokens, d_model]."""
    replies = [rows[i].tokens[rows[i].given :] for i in batch.rows]
    places, read = torch.unique(batch.before_scored, return_inverse=True)  # rows that share tokens ask for the same logits
    logits = logits_of(model, hidden.flatten(0, 1)[places])  # [places, vocabulary]
    tokens = torch.tensor([token for reply in replies for token in reply], device=logits.device)
    chosen = logits.log_softmax(-1)[read, tokens].double().cpu().numpy()  # [scored tokens]
    parts = np.split(chosen, np.cumsum([len(reply) for reply in replies])[:-1])
    return {i: Scored(reply, values, rows[i].offsets) for i, reply, values in zip(batch.rows, replies, parts, strict=True)}
