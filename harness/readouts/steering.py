"""Steering vectors: where to read them, how to scale them, which layers a sweep covers.

A vector is read from the residual stream (`hook_resid_post`), averaged over the tokens of teacher-forced completions,
positive minus negative (contrastive activation addition, Rimsky et al. 2024, arXiv:2312.06681; they read one answer
token, our completions differ in more than one). Its length is relative: dose x median residual norm at that layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.data.arrays import Floats
from harness.data.behavior import Pair
from harness.data.subject import Subject
from harness.engines.protocol import Positions, Recorded, Sites, Steering
from harness.readouts.forced_choice import completions_of
from harness.readouts.recordings import Recordings

DEPTHS = (0.25, 0.375, 0.5, 0.625, 0.75)
"""Relative depths of the sweep: layers 16 24 32 40 48 of 64."""
DOSES = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Lengths of the sweep's vectors, in units of the median residual norm at their layer."""

Vector = Floats
"""A direction in the residual stream, [d_model]."""


def layer_indices(layer_kinds: Sequence[str], depths: Sequence[float] = DEPTHS) -> tuple[int, ...]:
    """Layers at these depths and the full-attention layer nearest to each, ascending, without repeats.

    `layer_kinds` has "full_attention" or "linear_attention" for every layer of the model. A depth d of L layers is layer floor(d L).
    """
    count = len(layer_kinds)
    at_depth = [int(depth * count) for depth in depths]
    full = [i for i, kind in enumerate(layer_kinds) if kind == "full_attention"]
    nearest = [min(full, key=lambda i: (abs(i - layer), i)) for layer in at_depth] if full else []
    return tuple(sorted({*at_depth, *nearest}))


@dataclass(frozen=True)
class Contrast:
    """Residual streams of positive and negative completions at one layer, averaged over the completion's tokens."""

    layer: int
    """Index of the decoder layer, from 0."""
    positive: Floats  # [pairs, d_model]
    negative: Floats  # [pairs, d_model]
    norm: float
    """Median residual norm over all tokens but the first of each conversation (attention sinks are huge)."""


def contrasts(recordings: Recordings, subject: Subject, pairs: Sequence[Pair], layers: Sequence[int]) -> dict[int, Contrast]:
    """Record both completions of every pair once, for all layers: layer to its contrast, pairs in their order."""
    recorded = recordings.recorded(subject, completions_of(pairs), Sites(residual_layers=tuple(layers)))

    def stream(rows: Sequence[Recorded], layer: int) -> Floats:
        return np.stack([row.residual[layer] for row in rows]).astype(np.float64)

    return {
        layer: Contrast(
            layer,
            stream(recorded[::2], layer),
            stream(recorded[1::2], layer),
            float(np.median([row.norms[layer] for row in recorded])),
        )
        for layer in layers
    }


def steering(vector: Vector, layer: int, dose: float, norm: float, positions: Positions = "both") -> Steering:
    """Steering at one layer along `vector` [d_model] with length dose x norm; a negative dose points the other way.

    The length of `vector` itself does not count. ValueError where it is 0, or any of the numbers is not finite, or `norm` not above 0.
    """
    length = np.linalg.norm(vector)
    if not np.isfinite(length) or length == 0 or not np.isfinite(dose):
        raise ValueError(f"a steering vector needs a finite, non-zero length and a finite dose, found length {length} and dose {dose}")
    if not np.isfinite(norm) or norm <= 0:
        raise ValueError(f"the residual norm at layer {layer} is {norm}, it must be finite and above 0")
    return Steering({layer: (vector / length * dose * norm).astype(np.float32)}, positions)
