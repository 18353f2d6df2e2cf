"""Replies of a Qwen3.5 with fused layers: prompts are read in passes over several, then a step gives every reply its next token.

The replies to a prompt share what it left in the layers (harness/engines/hf/decoding.py). Prompts whose replies have all ended are dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from harness.engines.hf.batches import padded_ids
from harness.engines.hf.decoding import Past, joined
from harness.engines.hf.draws import drawn
from harness.engines.hf.scoring import logits_of
from harness.engines.rows import Row

PART = 8
"""Tokens generated before what has ended is dropped."""
TOGETHER = 16
"""Batches of a model of width NARROW hold this many times the tokens that a pass does; as many as a pass does took 1.3 times as long."""
NARROW = 192
"""Width of the residual stream of the shipped model. Wider models take fewer replies at once: their states are larger."""


@dataclass(frozen=True)
class Sampling:
    """How replies are made; temperature 0 is greedy."""

    temperature: float
    max_new_tokens: int
    pad: int
    """Token that replies are padded with once they have ended."""
    ends: tuple[int, ...]
    """Tokens that end a reply."""


def fused_together(model: Any) -> int:
    """How many times the tokens of a pass the replies of one batch may have, prompts counted for each of them."""
    width: int = model.get_decoder().config.hidden_size
    return max(1, TOGETHER * NARROW // width)


def said_by_steps(model: Any, budget: int, rows: Sequence[Row], numbers: Tensor, sampling: Sampling) -> list[list[int]]:
    """Tokens of every reply to each prompt of `rows`, those to the first prompt first; each ends with the token that ends it.

    `numbers` [replies, steps] decide what is drawn; `budget` bounds the tokens in a pass over prompts.
    """
    times, ends, decoder = len(numbers) // len(rows), torch.tensor(sampling.ends), model.get_decoder()
    said = torch.full(numbers.shape, sampling.pad)
    lengths = torch.full((len(numbers),), sampling.max_new_tokens)  # of replies, their ends included
    places = torch.arange(len(numbers))  # in `said`, of the replies that are still made
    going = torch.ones(len(numbers), dtype=torch.bool)
    past, logits = _after_prompts(model, rows, sampling.pad, budget)
    past.answer(times)
    logits = logits.repeat_interleave(times, dim=0)
    for step in range(sampling.max_new_tokens):
        tokens = drawn(logits, numbers[places, step], sampling.temperature) if sampling.temperature > 0 else logits.argmax(-1)
        said[places, step] = tokens
        ended = places[torch.isin(tokens, ends) & going[places]]
        lengths[ended], going[ended] = step + 1, False
        if step + 1 == sampling.max_new_tokens or not going.any():
            break
        if step % PART == PART - 1:
            kept = going[places].view(-1, times).any(dim=1)
            past.keep(kept.nonzero()[:, 0])
            places, tokens = (x.view(-1, times)[kept].flatten() for x in (places, tokens))
        positions = (past.lengths + past.said).repeat_interleave(times)[:, None]
        logits = logits_of(model, _passed(decoder, tokens[:, None], positions, past)[:, 0])
        past.advance()
    return [row[:length] for row, length in zip(said.tolist(), lengths.tolist(), strict=True)]


def _after_prompts(model: Any, rows: Sequence[Row], pad: int, budget: int) -> tuple[Past, Tensor]:
    """What the layers keep of every prompt, and the logits after each, [rows, vocabulary]; `rows` come longest first."""
    parts, logits = [], []
    for batch, ids in padded_ids(rows, budget, pad, "cpu"):
        parts.append(Past(torch.tensor([len(rows[i].tokens) for i in batch])))
        hidden = _passed(model.get_decoder(), ids, torch.arange(ids.shape[1])[None], parts[-1])
        logits.append(logits_of(model, hidden[torch.arange(len(batch)), parts[-1].lengths - 1]))
    return joined(parts), torch.cat(logits)


def _passed(decoder: Any, ids: Tensor, positions: Tensor, past: Past) -> Tensor:
    """The last hidden state [rows, tokens, d_model] of tokens `ids` [rows, tokens] at `positions` [rows or 1, tokens]."""
    hidden = decoder.embed_tokens(ids)
    rotation = decoder.rotary_emb(hidden, positions.expand(3, *positions.shape))  # text has the same position on all three axes
    for layer in decoder.layers:
        hidden = layer(hidden, position_embeddings=rotation, attention_mask=None, past_key_values=past)
    normed: Tensor = decoder.norm(hidden)
    return normed
