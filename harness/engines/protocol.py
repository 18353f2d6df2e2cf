"""What every engine can be asked, and the types of question and answer. No torch here: arrays are numpy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.data.behavior import Message
from harness.data.subject import Subject

Positions = Literal["both", "prefill", "decode"]


@dataclass(frozen=True)
class Completion:
    """A conversation that ends with the user's turn, and a reply to be teacher-forced after it."""

    messages: tuple[Message, ...]
    text: str


@dataclass(frozen=True)
class Steering:
    """Vectors added to the residual stream after the named layers (`hook_resid_post`).

    `vectors[layer]` is [d_model] in units of the residual stream; `positions` says which tokens are steered: those of
    the prompt (prefill), those of the reply (decode), or both.
    """

    vectors: Mapping[int, NDArray[np.float32]]
    positions: Positions = "both"


@dataclass(frozen=True)
class Scored:
    """Log-probabilities (nats) of one completion's tokens, in order, given everything before each of them."""

    tokens: tuple[int, ...]
    log_probabilities: NDArray[np.float64]  # [tokens]
    offsets: tuple[tuple[int, int], ...] = ()
    """Half-open range of the completion's characters for each token; empty for plain documents."""

    @property
    def per_token(self) -> float:
        return float(self.log_probabilities.mean())


@dataclass(frozen=True)
class Sites:
    """What to record in one forward pass of each completion."""

    attention: bool = False
    """Attention rows of full-attention layers at the response start (the last prompt token)."""
    heads: bool = False
    """Output of every head before the output projection at the response start, attention and Gated DeltaNet alike."""
    residual_layers: tuple[int, ...] = ()
    """Residual stream after these layers, averaged over the completion's tokens."""


@dataclass(frozen=True)
class Recorded:
    """One recording a completion, in the order asked.

    attention: [full-attention layers, heads, prompt tokens], rows sum to 1. heads: layer index to [heads, head width].
    residual: layer index to [d_model]. norms: layer index to the median residual norm over all tokens but the first.
    """

    attention: NDArray[np.float32] | None
    heads: Mapping[int, NDArray[np.float32]]
    residual: Mapping[int, NDArray[np.float32]]
    norms: Mapping[int, float]


class Engine(Protocol):
    """Scores, generates, records and steers a subject; adapters are told apart by digest."""

    name: str
    numerics: str
    """Device, number type and implementation: what shapes the numbers besides the subject and the question."""

    def score(self, subject: Subject, completions: Sequence[Completion], steering: Steering | None = None) -> list[Scored]: ...

    def score_texts(self, subject: Subject, texts: Sequence[str], steering: Steering | None = None) -> list[Scored]:
        """Plain documents from their first token on (the first token itself is not scored)."""
        ...

    def score_each(self, subject: Subject, completions: Sequence[Completion], steerings: Sequence[Steering | None]) -> list[list[Scored]]:
        """`score` under each of many steerings (None: none), in one go: [steerings][completions]."""
        ...

    def score_texts_each(self, subject: Subject, texts: Sequence[str], steerings: Sequence[Steering | None]) -> list[list[Scored]]:
        """`score_texts` under each of many steerings: [steerings][texts]."""
        ...

    def generate(
        self,
        subject: Subject,
        prompts: Sequence[tuple[Message, ...]],
        *,
        seed: int,
        temperature: float = 1.0,
        max_new_tokens: int = 40,
        steering: Steering | None = None,
    ) -> list[str]:
        """One reply a prompt; temperature 0 is greedy."""
        ...

    def record(self, subject: Subject, completions: Sequence[Completion], sites: Sites) -> list[Recorded]: ...
