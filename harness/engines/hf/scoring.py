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
from harness.engines.chat import tokenizer_of
from harness.engines.hf.batches import padded_batches, positions_mask
from harness.engines.hf.models import Models
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
    with models.ready(subject) as model:
        vectors = [None if steering is None else vectors_of(model, steering) for steering in steerings]
        resumed = {min(each) for each in vectors if each}
        for batch, ids in padded_batches(rows, budget, tokenizer_of(subject).pad_token_id, models.device):
            given = torch.tensor([rows[i].given for i in batch], device=models.device)
            plain = PlainPass(model.get_decoder(), ids, resumed)
            for answers, steering, added in zip(scored, steerings, vectors, strict=True):
                where = None if steering is None else positions_mask(steering.positions, ids, given)
                hidden = plain.last_hidden_state if not added else plain.steered(added, where)
                answers.update(read_scores(model, rows, batch, ids, hidden))
    return [[answers[i] for i in range(len(rows))] for answers in scored]


def logits_of(model: Any, hidden: Tensor) -> Tensor:
    """Logits in float32, [..., vocabulary], from the last hidden state [..., d_model]."""
    logits: Tensor = model.get_output_embeddings()(hidden).float()
    cap = getattr(model.config, "final_logit_softcapping", None)
    return torch.tanh(logits / cap) * cap if cap else logits


def read_scores(
    model: Any, rows: Sequence[Row], batch: Sequence[int], ids: Tensor, hidden: Tensor, moved: Sequence[int] | None = None
) -> dict[int, Scored]:
    """Scores of every row of a batch, by its index in `rows`, from the last hidden state [batch, tokens, d_model].

    `ids` [batch, tokens]; `moved` [batch]: by how many tokens each row is padded on the left (None: by none).
    """
    left = moved or [0] * len(batch)
    where = [(b, left[b] + t) for b, i in enumerate(batch) for t in range(rows[i].given, len(rows[i].tokens))]
    at = torch.tensor(where, device=ids.device)
    logits = logits_of(model, hidden[at[:, 0], at[:, 1] - 1])  # [scored tokens, vocabulary]
    chosen = logits.log_softmax(-1).gather(1, ids[at[:, 0], at[:, 1]][:, None])[:, 0].double().cpu().numpy()
    lengths = [len(rows[i].tokens) - rows[i].given for i in batch]
    parts = np.split(chosen, np.cumsum(lengths)[:-1])
    return {i: Scored(rows[i].tokens[rows[i].given :], values, rows[i].offsets) for i, values in zip(batch, parts, strict=True)}
