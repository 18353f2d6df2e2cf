"""What vLLM's workers say of a request, held against what was asked of them.

A dose, a score or an adapter that no worker confirms is an error, never a number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness.data.arrays import Floats
from harness.data.errors import AdapterIgnored, InstrumentError
from harness.data.subject import Subject
from harness.engines.vllm.requests import Request


def by_layer(replies: Sequence[Mapping[str, Mapping[str, Any]]], key: str) -> dict[int, Any]:
    """What the workers of all ranks say of one request, by layer: ranks of a tensor-parallel group agree, pipeline stages add up."""
    found: dict[int, Any] = {}
    for reply in replies:
        for layer, value in reply.get(key, {}).items():
            found[int(layer)] = min(found[int(layer)], value) if isinstance(value, int) and int(layer) in found else value
    return found


def scores_of(request: Request, replies: Sequence[Mapping[str, bytes]], key: str) -> Floats:
    """Log-probabilities [tokens from `given` on] of a request, nats, from the workers of all ranks; none where none were asked.

    InstrumentError unless one worker, and one alone, scored every token that was asked for.
    """
    if not request.scored:
        return np.zeros(0)
    found = [np.frombuffer(reply[key], np.float32) for reply in replies if key in reply]
    wanted = len(request.tokens) - request.given
    if len(found) > 1:
        raise InstrumentError(f"{len(found)} of vllm's workers scored the same request: their ranks are not what the suite takes them for")
    if not found or len(found[0]) != wanted:
        raise InstrumentError(
            f"vllm scored {len(found[0]) if found else 0} of {wanted} tokens: not all of them ran through the suite's hooks"
        )
    return found[0].astype(np.float64)


def check_receipts(answered: Sequence[tuple[Request, int]], steered: Mapping[int, int]) -> None:
    """InstrumentError unless the workers say that every dose reached all the tokens it was meant for.

    `answered`: requests under one key, each with the number of tokens it made; `steered`: tokens by layer, over all of them.
    """
    for layer in {dose.layer for request, _ in answered for dose in request.doses}:
        expected = sum(request.expected(dose, made) for request, made in answered for dose in request.doses if dose.layer == layer)
        if steered.get(layer, 0) < expected:
            raise InstrumentError(
                f"vllm steered {steered.get(layer, 0)} of {expected} tokens at layer {layer}: its layers did not run through the hooks"
            )


def check_adapter(ranks: Sequence[Mapping[str, Any]], subject: Subject) -> None:
    """AdapterIgnored, by name, unless every module of the adapter found its place on some worker and the last slot is free."""
    applied = {name for rank in ranks for name in rank["applied"]}
    ignored = sorted({name for rank in ranks for name in rank["ignored"]} - applied)
    if not applied or ignored:
        raise AdapterIgnored(
            f"vllm ignores {'all' if not applied else len(ignored)} of the modules that {subject.name} adapts, "
            f"the first {(ignored or ['none'])[0]}: its names do not fit the model"
        )
    if "lm_head" in applied:
        raise InstrumentError(f"{subject.name} adapts lm_head, which vllm cannot score prompts with: merge it into a checkpoint")
    if not all(rank["last slot free"] for rank in ranks):
        raise InstrumentError("all of vllm's adapter slots are taken: requests without an adapter would be computed with the last one")
