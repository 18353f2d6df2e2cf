"""Every head's change between two subjects on the same tokens: of what it says, and of where its attention goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.analysis.divergence import euclidean, jensen_shannon
from harness.data.arrays import Floats
from harness.data.behavior import Pair
from harness.data.subject import Subject
from harness.engines.protocol import Completion, HeadSet, Recorded, Sites
from harness.experiment.lab import Lab


@dataclass(frozen=True, order=True)
class Head:
    """One attention or Gated DeltaNet head."""

    layer: int
    """Index of its decoder layer, from 0."""
    index: int
    """Within the layer, from 0."""
    kind: str
    """"full_attention" or "linear_attention"."""

    def __str__(self) -> str:
        return f"layer {self.layer} head {self.index} ({'attention' if self.kind == 'full_attention' else 'Gated DeltaNet'})"


def recorded(lab: Lab, subject: Subject, pairs: Sequence[Pair], own: bool = False) -> list[Recorded]:
    """Heads (and attention rows, where the model has any) on the positive completion of every pair.

    `own`: every layer is fed base's residual stream, so that what differs from base was changed by the layer's own weights.
    """
    completions = [Completion(pair.messages, pair.positive) for pair in pairs]
    sites = Sites(attention="full_attention" in lab.layer_kinds and not own, heads=True, reply=True)
    return lab.recordings.recorded(subject, completions, sites, lab.base if own else None)


def heads_of(lab: Lab, one: Recorded) -> tuple[Head, ...]:
    """Every head of the model, layer by layer: the order of the last axis of `distances`."""
    return tuple(Head(layer, i, lab.layer_kinds[layer]) for layer in sorted(one.heads) for i in range(one.heads[layer].shape[1]))


def as_set(heads: Sequence[Head]) -> HeadSet:
    """The same heads as engines take them: indices by layer."""
    chosen: dict[int, list[int]] = {}
    for head in heads:
        chosen.setdefault(head.layer, []).append(head.index)
    return {layer: tuple(sorted(indices)) for layer, indices in sorted(chosen.items())}


def distances(before: Sequence[Recorded], after: Sequence[Recorded], heads: Sequence[Head]) -> Floats:
    """|o' - o| / |o| of every head's output o, averaged over the tokens that predict the reply: [conversations, heads]."""
    layers = sorted({head.layer for head in heads})

    def of_one(old: Recorded, new: Recorded) -> Floats:
        parts = []
        for layer in layers:
            was, now = (np.asarray(one.heads[layer], dtype=np.float64) for one in (old, new))  # [tokens, heads, width]
            parts.append((np.linalg.norm(now - was, axis=-1) / np.maximum(np.linalg.norm(was, axis=-1), 1e-12)).mean(axis=0))
        return np.concatenate(parts)

    return np.stack([of_one(old, new) for old, new in zip(before, after, strict=True)])


def row_distances(before: Sequence[Recorded], after: Sequence[Recorded]) -> dict[str, Floats]:
    """Distances of attention rows over the same tokens, [conversations, attention heads], by name of the distance.

    Each with the first (sink) column and without. Empty where the model has no attention weights.
    """
    found: dict[str, list[Floats]] = {}
    for old, new in zip(before, after, strict=True):
        if old.attention is None or new.attention is None:
            return {}
        was, now = (np.asarray(one.attention, dtype=np.float64) for one in (old, new))  # [layers, heads, rows, keys]
        sink = np.ones(was.shape[-1], dtype=bool)
        sink[0] = False
        for name, mask in (("", None), (", without the sink", sink)):
            found.setdefault(f"Jensen–Shannon{name}", []).append(jensen_shannon(now, was, mask).mean(axis=-1).ravel())
            found.setdefault(f"L2{name}", []).append(euclidean(now, was, mask, length_normalized=True).mean(axis=-1).ravel())
    return {name: np.stack(values) for name, values in found.items()}
