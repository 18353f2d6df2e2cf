"""Where conversations lie in the space of recurrent states: cosines between them, by Gated DeltaNet layer.

Each head's state [d_k, d_v] is scaled to unit norm, then the mean of base's states in a neutral set of conversations is subtracted
(the center: base's, so that training does not move it); then the cosine of every two conversations is averaged over heads. Cosines are
taken inside one model only: training rotates keys and values, so a cosine between before and after says nothing. Only cosines are kept,
and few layers are held at a time: at 27 billion parameters a conversation's states take 144 MiB.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.data.arrays import Floats
from harness.data.behavior import Message
from harness.data.subject import Subject
from harness.engines.protocol import Completion, Sites
from harness.readouts.recordings import Recordings, conversation_key
from harness.store import digest_of

Conversation = tuple[Message, ...]
"""Turns that end with the user's."""
POSITIONS = ("end of the user's content", "end of the prompt")
"""Where a state is read: before the template's closing tokens, and after them."""
HELD_BYTES = 2**30
"""Bytes of states that are held at a time."""


@dataclass(frozen=True)
class Geometry:
    """Where one subject's states lie in n conversations; the first axis of the cosines is POSITIONS."""

    cosines: Floats  # [2, layers, n, n], centered
    raw: Floats  # [2, layers, n, n], not centered
    decay: Floats  # [layers, heads], mean log decay of the state at a token, over the prompts
    beta: Floats  # [layers, heads], mean write strength, over the prompts

    @property
    def half_life(self) -> Floats:
        """Tokens after which half of a state is left, [layers, heads]."""
        return np.asarray(np.log(0.5) / self.decay)


@dataclass(frozen=True)
class StateSpace:
    """Measures states of a base model and of its adapters; the center is the mean of base's states in neutral conversations."""

    recordings: Recordings
    base: Subject
    neutral: tuple[Conversation, ...]
    """Conversations that give the center and take part in no cosine."""
    layers: tuple[int, ...]
    """Indices of the Gated DeltaNet layers."""

    def geometry(self, subject: Subject, conversations: Sequence[Conversation]) -> Geometry:
        """Cosines of every two conversations in `subject`, at both positions; kept in the store."""
        key = {
            "subject": subject.digest,
            "base": self.base.digest,
            "engine": self.recordings.engine.name,
            "numerics": self.recordings.engine.numerics,
            "conversations": digest_of([conversation_key(c) for c in conversations]),
            "neutral": digest_of([conversation_key(c) for c in self.neutral]),
        }
        arrays = self.recordings.store.arrays("state-geometry", key, lambda: self._measure(subject, conversations))
        return Geometry(**{name: np.asarray(values, dtype=np.float64) for name, values in arrays.items()})

    def change(self, subject: Subject, conversations: Sequence[Conversation]) -> float:
        """Mean over layers, heads and conversations of |S' - S| / |S|; kept in the store.

        S is base's state at the end of the user's content, S' the subject's.
        """
        key = {
            "subject": subject.digest,
            "base": self.base.digest,
            "numerics": self.recordings.engine.numerics,
            "conversations": digest_of([conversation_key(c) for c in conversations]),
        }

        def compute() -> dict[str, Floats]:
            changes = []
            for layers in self._held_together(len(conversations)):
                before, after = (self._states(one, conversations, layers)[0][0] for one in (self.base, subject))
                changes.append(np.linalg.norm(after - before, axis=-1) / np.linalg.norm(before, axis=-1))
            return {"change": np.array(np.concatenate(changes).mean(), dtype=np.float64)}

        return float(self.recordings.store.arrays("state-change", key, compute)["change"])

    def _measure(self, subject: Subject, conversations: Sequence[Conversation]) -> dict[str, NDArray[np.float32]]:
        parts: dict[str, list[NDArray[np.float32]]] = {"cosines": [], "raw": [], "decay": [], "beta": []}
        for layers in self._held_together(len(conversations) + len(self.neutral)):
            center = _unit(self._states(self.base, self.neutral, layers)[0]).mean(axis=2, keepdims=True)
            states, dynamics = self._states(subject, conversations, layers)
            unit = _unit(states)  # [2, layers, n, heads, d_k * d_v]
            parts["raw"].append(_cosines(unit))
            parts["cosines"].append(_cosines(_unit(unit - center)))
            parts["decay"].append(dynamics[:, :, 0].mean(axis=1))
            parts["beta"].append(dynamics[:, :, 1].mean(axis=1))
        axis = {"cosines": 1, "raw": 1, "decay": 0, "beta": 0}
        return {name: np.concatenate(arrays, axis=axis[name]) for name, arrays in parts.items()}

    def _states(
        self, subject: Subject, conversations: Sequence[Conversation], layers: tuple[int, ...]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """States [2, layers, n, heads, d_k * d_v] and dynamics [layers, n, 2, heads]; both end with the prompt, so any reply will do."""
        completions = [Completion(conversation, ".") for conversation in conversations]
        recorded = self.recordings.engine.record(subject, completions, Sites(state_layers=layers))
        states = np.stack([np.stack([one.states[layer].reshape(*one.states[layer].shape[:2], -1) for one in recorded]) for layer in layers])
        return states.transpose(2, 0, 1, 3, 4), np.stack([np.stack([one.dynamics[layer] for one in recorded]) for layer in layers])

    def _held_together(self, conversations: int) -> Iterator[tuple[int, ...]]:
        """Layers in groups whose states in so many conversations fit into HELD_BYTES, one layer at least."""
        probe = self.recordings.engine.record(self.base, [Completion(self.neutral[0], ".")], Sites(state_layers=self.layers[:1]))
        bytes_a_layer = probe[0].states[self.layers[0]].nbytes * conversations * 3  # states, unit norm, centered
        size = max(1, int(HELD_BYTES // bytes_a_layer))
        for first in range(0, len(self.layers), size):
            yield self.layers[first : first + size]


def _unit(states: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(states / np.maximum(np.linalg.norm(states, axis=-1, keepdims=True), 1e-12))


def _cosines(unit: NDArray[np.float32]) -> NDArray[np.float32]:
    """[2, layers, n, n], averaged over heads."""
    by_head = unit.swapaxes(2, 3)  # [2, layers, heads, n, width]
    return np.asarray((by_head @ by_head.swapaxes(-1, -2)).mean(axis=2))
