"""Do two engines give the same tokens the same log-probabilities? The largest gap, and the gap that a mistake in steering would make.

A completion's gap is the difference of its mean token log-probabilities in the two engines, in nats per token; the measure is the
largest gap over all completions. Where a vector changes little, engines agree although one of them steers wrongly. So the gap is also
measured against two mistakes, the vector reversed and the vector at the next layer: only where these gaps are larger than what is allowed
does agreement show anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.data.subject import Subject
from harness.engines.protocol import Completion, Engine, Positions, Scored, Steering

MODES: tuple[Positions, ...] = ("both", "prefill", "decode")
"""Every choice of steered positions."""


def largest_gap(ours: Sequence[Scored], theirs: Sequence[Scored]) -> float:
    """The largest gap over the completions, nats per token; 0 where there are none. ValueError where the tokens differ."""
    for one, other in zip(ours, theirs, strict=True):
        if one.tokens != other.tokens:
            raise ValueError("the engines scored different tokens: there is nothing to compare")
    return max((abs(one.per_token - other.per_token) for one, other in zip(ours, theirs, strict=True)), default=0.0)


@dataclass(frozen=True)
class SteeredParity:
    """Gaps between two engines, in nats per token."""

    gap: float
    """The largest gap: unsteered, steered at each choice of positions, and unsteered again."""
    mistakes: Mapping[str, float]
    """For each mistake in steering ("reversed", "at layer 5"), the gap to a reference that makes it."""


def steered_parity(
    engine: Engine, reference: Engine, subject: Subject, completions: Sequence[Completion], steering: Steering, layers: int
) -> SteeredParity:
    """Compare two engines under one vector at one layer; `layers` is the number of the model's layers.

    Steered and unsteered completions are scored in one call, so that a vector that leaks into unsteered ones shows. ValueError where
    `steering` has vectors at several layers.
    """
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
