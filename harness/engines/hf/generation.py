"""Replies: prompts padded on the left, each read once for all its samples, and the rows that have ended dropped every few tokens.

What a row draws depends on its seed and place alone (harness/engines/hf/draws.py). Prompts are read once where nothing steers by position
and the model keeps its past as the library's own cache; elsewhere each sample reads its prompt anew.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from harness.data.behavior import Message
from harness.data.subject import Subject
from harness.engines.chat import encode_prompt, end_tokens, tokenizer_of
from harness.engines.hf.batches import batches_of, padded_left
from harness.engines.hf.draws import Drawn, uniforms
from harness.engines.hf.models import Models
from harness.engines.hf.steering import vectors_of
from harness.engines.protocol import Steering
from harness.engines.rows import Row
from harness.recorders.residual import add_to_residual

PART = 8
"""Tokens generated before the rows that have ended are dropped."""
STEPS_TOGETHER = 4
"""On a CPU generated batches hold this many times the tokens: a step of one token a row costs less a row with more of them. Four times took
.77 of the time on the shipped model, eight times .98: the prompts leave the cache."""


@dataclass(frozen=True)
class _Sampling:
    """How replies are made; temperature 0 is greedy."""

    temperature: float
    max_new_tokens: int
    pad: int
    """Token that replies are padded with once they have ended."""
    ends: tuple[int, ...]
    """Tokens that end a reply."""


def generate_rows(
    models: Models,
    subject: Subject,
    prompts: Sequence[tuple[Message, ...]],
    seeds: Sequence[int],
    temperature: float,
    max_new_tokens: int,
    steering: Steering | None,
    budget: int,
) -> list[list[str]]:
    """One reply a prompt under each seed, [seeds][prompts]. ValueError for a steering that does not fit the model."""
    tokenizer, times = tokenizer_of(subject), len(seeds)
    sampling = _Sampling(temperature, max_new_tokens, tokenizer.pad_token_id, end_tokens(subject))
    rows = [Row(encode_prompt(tokenizer, messages).tokens, 0) for messages in prompts]
    numbers = uniforms(seeds, len(rows), max_new_tokens)
    replies = [[""] * len(rows) for _ in seeds]
    together = (STEPS_TOGETHER if models.device == "cpu" else 1) * budget // max(times, 1)
    exact = torch.autocast(models.device, enabled=False)  # one token a step: casting the weights would cost more than it saves
    with models.ready(subject) as model, exact, _steered(model, steering):
        shared = (steering is None or steering.positions == "both") and model._supports_default_dynamic_cache()
        for batch in batches_of([Row(row.tokens + (0,) * max_new_tokens, 0) for row in rows], together):
            ids, seen = padded_left([rows[i] for i in batch], sampling.pad, models.device)
            cache = _prefilled(model, ids, seen, times) if shared else None
            drawn = numbers[:, batch].transpose(0, 1).flatten(0, 1) if temperature > 0 else None  # [samples, steps]
            said = _answered(model, ids.repeat_interleave(times, dim=0), seen.repeat_interleave(times, dim=0), cache, drawn, sampling)
            for place, text in enumerate(tokenizer.batch_decode(said, skip_special_tokens=True)):
                replies[place % times][batch[place // times]] = text.strip()
    return replies


@contextlib.contextmanager
def _steered(model: Any, steering: Steering | None) -> Iterator[None]:
    """While the block lasts, passes over several tokens count as the prompt's and passes over one as the reply's."""
    if steering is None:
        yield
        return
    prefill, nowhere = [True], torch.zeros(1, 1, device=model.device)

    def where() -> Tensor | None:
        return None if steering.positions == "both" or (steering.positions == "prefill") == prefill[0] else nowhere

    def notice(_module: Any, _args: Any, kwargs: dict[str, Any]) -> None:
        prefill[0] = kwargs["input_ids"].shape[1] > 1

    with add_to_residual(model.get_decoder().layers, vectors_of(model, steering), where):
        handle = model.register_forward_pre_hook(notice, with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()


def _prefilled(model: Any, ids: Tensor, seen: Tensor, times: int) -> Any:
    """The cache of every prompt but its last token, `times` over: what would otherwise be computed again for each sample.

    `ids` and their mask `seen` are [prompts, tokens], padded on the left.
    """
    untyped: Any = DynamicCache
    cache = untyped(config=model.config.get_text_config(decoder=True))
    positions = (seen.cumsum(dim=1) - 1).clamp(min=0)[:, :-1]
    if ids.shape[1] > 1:
        model.get_decoder()(
            input_ids=ids[:, :-1], attention_mask=seen[:, :-1], position_ids=positions, past_key_values=cache, use_cache=True
        )
        cache.reorder_cache(torch.arange(len(ids), device=ids.device).repeat_interleave(times))
    return cache


def _answered(model: Any, ids: Tensor, seen: Tensor, cache: Any, numbers: Tensor | None, sampling: _Sampling) -> list[list[int]]:
    """Tokens said after every prompt `ids` [samples, tokens], PART at a time, and then on with the rows that have not ended.

    `cache` holds all but the prompts' last tokens; None where prompts are read anew, and then all tokens are made at once. `numbers`
    [samples, steps] decide what is drawn; None is greedy.
    """
    width, most, ends = ids.shape[1], sampling.max_new_tokens, torch.tensor(sampling.ends, device=ids.device)
    said: list[list[int]] = [[] for _ in ids]
    alive = list(range(len(ids)))
    part = PART if cache is not None else most
    settings = {"do_sample": False, "pad_token_id": sampling.pad, "eos_token_id": list(sampling.ends)}
    held = {} if cache is None else {"past_key_values": cache}
    while alive:
        drawn = [Drawn(numbers[alive], width, sampling.temperature)] if numbers is not None else []
        count = min(part, width + most - ids.shape[1])
        ids = model.generate(input_ids=ids, attention_mask=seen, logits_processor=drawn, max_new_tokens=count, **settings, **held)
        for row, tokens in zip(alive, ids[:, width:].tolist(), strict=True):
            said[row] = tokens
        going = ~torch.isin(ids[:, width:], ends).any(dim=1)
        if ids.shape[1] - width >= most or not going.any():
            break
        kept = going.nonzero()[:, 0]
        if len(kept) < len(alive):
            cache.reorder_cache(kept)
        alive, ids = [alive[i] for i in kept.tolist()], ids[kept]
        seen = torch.cat([seen[kept], seen.new_ones(len(kept), ids.shape[1] - seen.shape[1])], dim=1)
    return said
