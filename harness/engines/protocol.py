"""What every engine can be asked, and the types of question and answer. No torch here: arrays are numpy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.data.arrays import Floats
from harness.data.behavior import Message
from harness.data.subject import Subject

Positions = Literal["both", "prefill", "decode"]
TEMPERATURE = 1.0
"""At which replies are sampled where nothing else is asked for: as the model itself would say them."""
MOST_TOKENS = 40
"""Tokens of the longest reply where nothing else is asked for."""


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
    log_probabilities: Floats  # [tokens]
    offsets: tuple[tuple[int, int], ...] = ()
    """Half-open range of the completion's characters for each token; empty for plain documents."""

    @property
    def per_token(self) -> float:
        """Mean log-probability of a token, nats."""
        return float(self.log_probabilities.mean())


@dataclass(frozen=True)
class Sites:
    """What to record in one forward pass of each completion."""

    attention: bool = False
    """Attention rows of full-attention layers."""
    heads: bool = False
    """Output of every head before the output projection, of attention and of Gated DeltaNet layers."""
    reply: bool = False
    """Rows and heads at every token that predicts one of the reply; otherwise at the response start (the last prompt token) alone."""
    residual_layers: tuple[int, ...] = ()
    """Residual stream after these layers, averaged over the completion's tokens."""
    state_layers: tuple[int, ...] = ()
    """Recurrent state after these Gated DeltaNet layers' last token of the user's content, and at the end of the prompt."""


@dataclass(frozen=True)
class Recorded:
    """One recording a completion, in the order asked. Rows: the response start, then (where asked) all reply tokens but the last."""

    attention: NDArray[np.float32] | None
    """[full-attention layers, heads, rows, keys]; rows sum to 1, keys reach to the last row's token."""
    heads: Mapping[int, NDArray[np.float32]]
    """Layer index to [rows, heads, head width]."""
    residual: Mapping[int, NDArray[np.float32]]
    """Layer index to [d_model]."""
    norms: Mapping[int, float]
    """Layer index to the median residual norm over all tokens but the first."""
    states: Mapping[int, NDArray[np.float32]]
    """Layer index to [2 positions, heads, d_k, d_v]: end of the user's content, end of the prompt."""
    dynamics: Mapping[int, NDArray[np.float32]]
    """Layer index to [2, heads]: mean log decay a token and mean write strength over the prompt."""


HeadSet = Mapping[int, tuple[int, ...]]
"""Layer index to heads of it."""


class Engine(Protocol):
    """Scores, generates, records and steers a subject; adapters are told apart by digest.

    Everything is asked in batches: a list of completions under a list of steerings, a list of prompts under a list of seeds. For one
    steering or one seed there are `score`, `score_texts` and `generate` below.
    """

    name: str
    numerics: str
    """Device, number type and implementation: what shapes the numbers besides the subject and the question."""

    def score_each(self, subject: Subject, completions: Sequence[Completion], steerings: Sequence[Steering | None]) -> list[list[Scored]]:
        """Every completion under each of many steerings (None: none), [steerings][completions].

        ValueError for a completion without a token, or a steering that does not fit the model.
        """
        ...

    def score_texts_each(self, subject: Subject, texts: Sequence[str], steerings: Sequence[Steering | None]) -> list[list[Scored]]:
        """Plain documents from their first token on (the first token itself is not scored) under each steering, [steerings][texts].

        ValueError for a text of less than two tokens, or a steering that does not fit the model.
        """
        ...

    def generate_each(
        self,
        subject: Subject,
        prompts: Sequence[tuple[Message, ...]],
        *,
        seeds: Sequence[int],
        temperature: float = TEMPERATURE,
        max_new_tokens: int = MOST_TOKENS,
        steering: Steering | None = None,
    ) -> list[list[str]]:
        """One reply a prompt under each of many seeds, [seeds][prompts]; temperature 0 is greedy.

        ValueError for a steering that does not fit the model.
        """
        ...

    def recorder(self, sites: Sites | None, fed_by: Subject | None = None) -> Engine:
        """The engine whose numbers `record` gives for these sites; None: those of gradients and of the two that patch."""
        ...

    def gradients(self, subject: Subject, completions: Sequence[Completion], weights: Sequence[Floats], layers: Sequence[int]) -> Floats:
        """Gradient of each completion's Σ weight × log-probability, `weights[completion]` [tokens], [completions, layers, d_model]:
        in a vector that is added to the residual stream after one layer, at all positions of prompt and completion.

        ValueError for a completion without a token, or another number of weights than tokens.
        """
        ...

    def text_gradients(self, subject: Subject, texts: Sequence[str], layers: Sequence[int]) -> Floats:
        """The same of each plain document's mean log-probability, [texts, layers, d_model]. ValueError for less than two tokens."""
        ...

    def record(self, subject: Subject, completions: Sequence[Completion], sites: Sites, fed_by: Subject | None = None) -> list[Recorded]:
        """One pass over every completion. With `fed_by`, each layer gets that subject's residual stream as its input, so that
        what is recorded differs from it by the layer's own weights alone, and by nothing that earlier layers passed on."""
        ...

    def score_patched_heads(
        self,
        subject: Subject,
        donor: Subject,
        completions: Sequence[Completion],
        head_sets: Sequence[HeadSet],
        positions: Positions = "both",
    ) -> list[list[Scored]]:
        """Scores with the outputs of the named heads taken from the donor on the same tokens: [head sets][completions].

        ValueError for a head that the model does not have.
        """
        ...

    def score_patched_states(self, subject: Subject, donor: Subject, completions: Sequence[Completion]) -> list[Scored]:
        """Scores with all recurrent states replaced by the donor's after the last token of the user's content, [completions].

        ValueError for a model without Gated DeltaNet layers.
        """
        ...


def score(engine: Engine, subject: Subject, completions: Sequence[Completion], steering: Steering | None = None) -> list[Scored]:
    """`Engine.score_each` under one steering, [completions]."""
    return engine.score_each(subject, completions, [steering])[0]


def score_texts(engine: Engine, subject: Subject, texts: Sequence[str], steering: Steering | None = None) -> list[Scored]:
    """`Engine.score_texts_each` under one steering, [texts]."""
    return engine.score_texts_each(subject, texts, [steering])[0]


def generate(
    engine: Engine,
    subject: Subject,
    prompts: Sequence[tuple[Message, ...]],
    *,
    seed: int,
    temperature: float = TEMPERATURE,
    max_new_tokens: int = MOST_TOKENS,
    steering: Steering | None = None,
) -> list[str]:
    """`Engine.generate_each` under one seed, [prompts]."""
    (replies,) = engine.generate_each(
        subject, prompts, seeds=(seed,), temperature=temperature, max_new_tokens=max_new_tokens, steering=steering
    )
    return replies
