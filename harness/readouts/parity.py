"""Do two engines say the same of the same tokens? The largest gap, and how large it would be if one of them steered wrongly.

The gap of a completion is the difference of its mean token log-probabilities, in nats per token; the measure is the largest over all
completions. Equal numbers under a vector mean nothing where the vector does nothing: beside the gap stand those to the
vector reversed and to the same vector one layer further, which must be larger than what is allowed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.data.subject import Subject
from harness.engines.protocol import Completion, Engine, Positions, Scored, Steering

MODES: tuple[Positions, ...] = ("both", "prefill", "decode")


def largest_gap(ours: Sequence[Scored], theirs: Sequence[Scored]) -> float:
    """Nats per token, the largest over the completions."""
    for one, other in zip(ours, theirs, strict=True):
        if one.tokens != other.tokens:
            raise ValueError("the engines scored different tokens: there is nothing to compare")
    return max((abs(one.per_token - other.per_token) for one, other in zip(ours, theirs, strict=True)), default=0.0)


@dataclass(frozen=True)
class SteeredParity:
    """All in nats per token."""

    gap: float
    """The largest over unsteered, steered in every mode of positions, and unsteered again."""
    mistakes: Mapping[str, float]
    """What the gap would be if the other engine had made this mistake."""


def steered_parity(
    engine: Engine, reference: Engine, subject: Subject, completions: Sequence[Completion], steering: Steering, layers: int
) -> SteeredParity:
    """Compare under one steering, all of it in one batch of the engine, so that what must stay untouched is in it too."""
    (layer,) = steering.vectors
    vector = steering.vectors[layer]
    modes = [None, *(Steering({layer: vector}, mode) for mode in MODES), None]
    ours = engine.score_each(subject, completions, modes)
    theirs = reference.score_each(subject, completions, modes)
    beside = layer + 1 if layer + 1 < layers else layer - 1
    wrong = {"reversed": Steering({layer: -vector}), f"at layer {beside}": Steering({beside: vector})}
    mistaken = reference.score_each(subject, completions, list(wrong.values()))
    return SteeredParity(
        max(largest_gap(a, b) for a, b in zip(ours, theirs, strict=True)),
        {name: largest_gap(ours[1], scored) for name, scored in zip(wrong, mistaken, strict=True)},
    )
