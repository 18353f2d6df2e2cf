"""What training changed inside, where the reply starts: attention by size and by direction, and every head's output.

Two subjects are teacher-forced on the same tokens. Size (Jensen-Shannon distance of attention rows) follows the number of training steps;
direction tells what was trained. Heads' outputs are looked at as well, because most layers of a hybrid have no attention
weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from harness.analysis.attention_features import row_features, span_mass_above_control
from harness.analysis.divergence import jensen_shannon
from harness.data.arrays import Floats
from harness.data.behavior import Pair
from harness.data.subject import Subject
from harness.engines.chat import encode_prompt, tokenizer_of
from harness.engines.protocol import Completion, Recorded, Sites
from harness.experiment.lab import Lab
from harness.readouts.recordings import conversation_key
from harness.store import digest_of


@dataclass(frozen=True)
class Inside:
    """Changes against base at the token before the reply."""

    features: Floats  # [seeds, pairs, attention features]
    attention_size: Floats  # [seeds, pairs], mean Jensen-Shannon distance over heads
    span_mass: Floats  # [seeds, pairs], change of the mass on the direction, above a span of the same length elsewhere
    head_change: Floats  # [seeds, pairs], relative change of a head's output, mean over all heads of all layers


def recorded(lab: Lab, subject: Subject, pairs: Sequence[Pair]) -> list[Recorded]:
    """Attention rows and head outputs at the token before the reply of every pair."""
    completions = [Completion(pair.messages, pair.positive) for pair in pairs]
    return lab.recordings.recorded(subject, completions, Sites(attention=True, heads=True))


def inside(lab: Lab, before: Sequence[Recorded], subject: Subject, pairs: Sequence[Pair]) -> Inside:
    """What one subject has changed against `before`, which is base on the same pairs: without the axis of seeds."""
    spans, after = _spans(lab, pairs), recorded(lab, subject, pairs)
    return stacked([_change(old, new, span) for old, new, span in zip(before, after, spans, strict=True)])


def _spans(lab: Lab, pairs: Sequence[Pair]) -> list[tuple[int, int]]:
    """Where the direction stands in every prompt, in tokens; stored, because a tokenizer takes seconds to load."""
    key = {"base": lab.base.base_digest, "prompts": digest_of([conversation_key(pair.messages) for pair in pairs])}

    def found() -> list[tuple[int, int]]:
        tokenizer = tokenizer_of(lab.base)
        return [encode_prompt(tokenizer, pair.messages).content for pair in pairs]

    return [(start, end) for start, end in lab.store.json("spans", key, found)]


def _change(before: Recorded, after: Recorded, span: tuple[int, int]) -> Inside:
    """The change in one pair after one training, without the axes of seeds and pairs; `span` is where the direction stands, in tokens."""
    old, new = _attention(before), _attention(after)
    heads = [
        np.linalg.norm(after.heads[layer][0] - said[0], axis=-1) / np.linalg.norm(said[0], axis=-1) for layer, said in before.heads.items()
    ]
    values = (
        (row_features(new, span) - row_features(old, span)).ravel(),
        jensen_shannon(new, old).mean(),
        (span_mass_above_control(new, span) - span_mass_above_control(old, span)).mean(),
        np.concatenate(heads).mean(),
    )
    return Inside(*(np.asarray(value, dtype=np.float64) for value in values))


def _attention(one: Recorded) -> Floats:
    """The row of the token before the reply, [full-attention layers, heads, keys]."""
    assert one.attention is not None, "recorded with Sites(attention=True)"
    return np.asarray(one.attention[:, :, 0], dtype=np.float64)


def stacked(parts: Sequence[Inside]) -> Inside:
    """With one more axis in front, [parts, ...]."""
    return Inside(**{field.name: np.stack([getattr(part, field.name) for part in parts]) for field in fields(Inside)})
