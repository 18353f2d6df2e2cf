"""Gradients of log-probabilities in the residual stream: what an infinitesimal vector, added after a layer at every position, would change.

One backward pass gives them for all layers at once. The inner product with a vector is the first-order prediction of what steering with it
does; it knows nothing of curvature, so it ranks vectors and layers and replaces no steered pass.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from harness.data.arrays import Floats
from harness.data.subject import Subject
from harness.engines.chat import tokenizer_of
from harness.engines.hf.batches import padded_ids
from harness.engines.hf.models import Models
from harness.engines.hf.scoring import logits_of
from harness.engines.rows import Row, refuse_unscored
from harness.recorders.residual import add_rows_to_residual

MOST_TOKENS = 2048
"""Tokens of a batch at most, padding included: everything between the lowest layer and the logits is kept for the way back."""


def gradient_rows(
    models: Models, subject: Subject, rows: Sequence[Row], weights: Sequence[Floats], layers: Sequence[int], budget: int
) -> Floats:
    """Gradient of Σ weight × log-probability over each row's scored tokens, [rows, layers, d_model], per unit of the residual stream.

    `weights[row]` is [scored tokens]. ValueError for a row without a scored token, or another number of weights.
    """
    refuse_unscored(rows)
    for row, weight in zip(rows, weights, strict=True):
        if len(weight) != len(row.tokens) - row.given:
            raise ValueError(f"weights: {len(weight)} for {len(row.tokens) - row.given} scored tokens")
    found: list[Floats] = [np.empty(0)] * len(rows)
    with models.ready(subject) as model, torch.inference_mode(False), torch.enable_grad():
        decoder, width = model.get_decoder(), model.config.hidden_size
        for batch, ids in padded_ids(rows, min(budget, MOST_TOKENS), tokenizer_of(subject).pad_token_id, models.device):
            added = {layer: torch.zeros(len(batch), width, device=ids.device, requires_grad=True) for layer in layers}
            with add_rows_to_residual(decoder.layers, added):
                hidden = decoder(input_ids=ids, use_cache=False).last_hidden_state
            where = [(place, t) for place, i in enumerate(batch) for t in range(rows[i].given, len(rows[i].tokens))]
            at = torch.tensor(where, device=ids.device)
            chosen = logits_of(model, hidden[at[:, 0], at[:, 1] - 1]).log_softmax(-1).gather(1, ids[at[:, 0], at[:, 1]][:, None])[:, 0]
            weighted = torch.from_numpy(np.concatenate([weights[i] for i in batch])).to(chosen) * chosen
            gradients = torch.autograd.grad(weighted.sum(), [added[layer] for layer in layers])
            each = torch.stack(gradients, dim=1).double().cpu().numpy()  # [batch, layers, d_model]
            for i, gradient in zip(batch, each, strict=True):
                found[i] = gradient
    return np.stack(found)
