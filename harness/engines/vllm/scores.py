"""Inside vLLM's workers: log-probabilities of the tokens that are asked for, and of no others.

A log-softmax in float32 of the model's own logits, of the rows that precede those tokens: the function that hf uses, rounding included.
vLLM's prompt log-probabilities take the same numbers from logits, a log-softmax and a ranking for every token of the prompt: for a
vocabulary of 250 000 a megabyte a token, and more than once. What this cannot show: log-probabilities of a prompt that was not computed
because its blocks were in a cache; such a request comes back short, and is refused.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

ROWS = 256
"""Rows whose logits exist at a time: with a vocabulary of 250 000 in float32 a quarter of a gigabyte."""
CACHED = 2**20
"""Numbers that a CPU takes the log-softmax of at a time, a row at least: more leave its cache, in bfloat16 at six times the cost."""


def log_probabilities(logits_of: Callable[[Tensor], Tensor | None], hidden: Tensor, tokens: Tensor) -> Tensor | None:
    """Log-probabilities [rows], nats, float32, of `tokens` [rows], each given its row of `hidden` [rows, d_model] (after the final norm).

    Every rank of a tensor-parallel group must call this with the same rows, since `logits_of` gathers; None on a rank that gets no logits.
    """
    found = []
    for part, chosen in zip(torch.split(hidden, ROWS), torch.split(tokens, ROWS), strict=True):
        logits = logits_of(part)  # [rows, vocabulary]
        if logits is not None:
            rows = ROWS if logits.is_cuda else max(1, CACHED // logits.shape[-1])
            for some, wanted in zip(torch.split(logits, rows), torch.split(chosen, rows), strict=True):
                found.append(some.log_softmax(-1, dtype=torch.float32).gather(1, wanted[:, None])[:, 0])
    return torch.cat(found) if found else None


class Scores:
    """Log-probabilities by request, in the order of its tokens, until fetched; of more than `kept` requests the oldest are dropped."""

    def __init__(self, kept: int) -> None:
        self._kept, self._values = kept, OrderedDict[str, list[float]]()

    def add(self, key: str, at: int, values: Sequence[float]) -> None:
        """Keep the scores of one pass; `at` is the number of the request's scored tokens before them.

        A request that was preempted runs again, and its later pass counts. After a gap nothing is added: the request stays short.
        """
        mine = self._values.setdefault(key, [])
        if at <= len(mine):
            mine[at:] = values
        while len(self._values) > self._kept:
            self._values.popitem(last=False)

    def pop(self, key: str) -> list[float] | None:
        """Hand out a request's scores, nats, once; None where it has none."""
        return self._values.pop(key, None)
