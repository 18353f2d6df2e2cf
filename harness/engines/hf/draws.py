"""Sampling whose luck is given beforehand: what a row draws depends on its seed and place alone, not on its batch.

Inverse transform sampling (Devroye, Non-Uniform Random Variate Generation, 1986, section 3.2.1): the token is the first whose cumulative
probability exceeds a uniform number. Two subjects asked under the same seed meet the same numbers (common random numbers), so that where
they agree they say the same. What it cannot give: equality to the letter across batch shapes. Padding moves probabilities by some 1e-5,
and of 896 replies four met a number that close to a boundary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def uniforms(seeds: Sequence[int], rows: int, steps: int) -> Tensor:
    """The numbers in [0, 1) that decide every token: [seeds, rows, steps], float32, each seed by itself."""
    return torch.stack([torch.rand(rows, steps, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


def drawn(logits: Tensor, numbers: Tensor, temperature: float) -> Tensor:
    """The token that each number of `numbers` [rows] draws from the softmax of `logits` [rows, vocabulary] over `temperature`, [rows]."""
    cumulative = torch.softmax(logits.float() / temperature, dim=-1).cumsum(dim=-1)  # [rows, vocabulary]
    wanted = numbers[:, None].to(logits.device) * cumulative[:, -1:]
    return torch.searchsorted(cumulative, wanted, right=True)[:, 0].clamp(max=logits.shape[-1] - 1)


class Drawn:
    """A logits processor for greedy decoding: the drawn token keeps a score of 0 and every other gets minus infinity.

    `numbers` [rows, steps] decide what the rows of this batch draw; `width` is the number of tokens of the padded prompt.
    """

    def __init__(self, numbers: Tensor, width: int, temperature: float) -> None:
        self.numbers, self.width, self.temperature = numbers, width, temperature

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        token = drawn(scores, self.numbers[:, input_ids.shape[1] - self.width], self.temperature)
        alone: Any = torch.full_like(scores, -torch.inf)
        return torch.as_tensor(alone.scatter_(1, token[:, None], 0.0))
