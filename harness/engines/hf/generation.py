"""Replies: each prompt is read once for all its samples, and those that have ended are dropped every few tokens.

What a row draws depends on its seed and place alone (harness/engines/hf/draws.py). Where fused layers are on, Qwen3.5 runs by
harness/engines/hf/steps.py. Other models run by the library's `generate`, with prompts padded on the left; there prompts are read once
only where nothing steers by position and the model keeps its past as the library's own cache.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from harness.data.behavior import Message
from harness.data.subject import Subject
from harness.engines.chat import encode_prompt, end_tokens, tokenizer_of
from harness.engines.hf.batches import batches_of, padded_left
from harness.engines.hf.draws import Drawn, uniforms
from harness.engines.hf.fast import has_fused_steps
from harness.engines.hf.models import Models
from harness.engines.hf.steering import vectors_of
from harness.engines.hf.steps import PART, Sampling, fused_together, said_by_steps
from harness.engines.protocol import Steering
from harness.engines.rows import Row
from harness.recorders.residual import add_to_residual

STEPS_TOGETHER = 4
"""On a CPU generated batches hold this many times the tokens: a step of one token a row costs less a row with more of them. Four times took
.77 of the time on the shipped model, eight times .98: the prompts leave the cache."""


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
    sampling = Sampling(temperature, max_new_tokens, tokenizer.pad_token_id, end_tokens(subject))
    rows = [Row(encode_prompt(tokenizer, messages).tokens, 0) for messages in prompts]
    numbers = uniforms(seeds, len(rows), max_new_tokens)
    replies = [[""] * len(rows) for _ in seeds]
    exact = torch.autocast(models.device, enabled=False)  # one token a step: casting the weights would cost more than it saves
    with models.ready(subject) as model, exact, _steered(model, steering):
        if has_fused_steps(model):
            many = fused_together(model)
            said_by = functools.partial(said_by_steps, model, budget)
        else:
            many = STEPS_TOGETHER if models.device == "cpu" else 1
            shared = (steering is None or steering.positions == "both") and model._supports_default_dynamic_cache()
            said_by = functools.partial(_said_by_library, model, shared)
        for batch in batches_of([Row(row.tokens + (0,) * max_new_tokens, 0) for row in rows], many * budget // max(times, 1)):
            drawn = numbers[:, batch].transpose(0, 1).flatten(0, 1)  # [samples, steps]
            said = said_by([rows[i] for i in batch], drawn, sampling)
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
    layers = model.get_decoder().layers

    def where() -> Tensor | None:
        return None if steering.positions == "both" or (steering.positions == "prefill") == prefill[0] else nowhere

    def notice(_module: Any, inputs: tuple[Tensor, ...]) -> None:
        prefill[0] = inputs[0].shape[1] > 1

    with add_to_residual(layers, vectors_of(model, steering), where):
        handle = layers[0].register_forward_pre_hook(notice)
        try:
            yield
        finally:
            handle.remove()


def _said_by_library(model: Any, shared: bool, rows: Sequence[Row], numbers: Tensor, sampling: Sampling) -> list[list[int]]:
    """Tokens of every reply to each prompt, those to the first prompt first; `numbers` [replies, steps] decide what is drawn."""
    ids, seen = padded_left(rows, sampling.pad, model.device)
    times = len(numbers) // len(rows)
    cache = _prefilled(model, ids, seen, times) if shared else None
    ids, seen = (x.repeat_interleave(times, dim=0) for x in (ids, seen))
    return _answered(model, ids, seen, cache, numbers if sampling.temperature > 0 else None, sampling)


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


def _answered(model: Any, ids: Tensor, seen: Tensor, cache: Any, numbers: Tensor | None, sampling: Sampling) -> list[list[int]]:
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
