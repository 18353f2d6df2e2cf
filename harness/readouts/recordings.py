"""Recordings: what an engine said of a subject, kept in the store under the digest of everything that determined it.

Every question asks here, so a number that two questions need is computed once, and a second run only computes what a
new candidate changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.arrays import Floats
from harness.data.behavior import Message, Pair
from harness.data.subject import Subject
from harness.engines.chat import named_ends
from harness.engines.protocol import (
    MOST_TOKENS,
    TEMPERATURE,
    Completion,
    Engine,
    HeadSet,
    Positions,
    Recorded,
    Sites,
    Steering,
    score_texts,
)
from harness.engines.rows import rows_of
from harness.readouts.forced_choice import ForcedChoice, completions_of, decision_weights, forced_choice, from_scores, metrics_key
from harness.store import Store, digest_of


def conversation_key(messages: Sequence[Message]) -> list[tuple[str, str]]:
    """A conversation as part of a key."""
    return [(m.role, m.content) for m in messages]


def pair_key(pair: Pair) -> list[Any]:
    """What shapes the scores of a pair, as part of a key: not its id, split or domain."""
    marks = [pair.decision.positive, pair.decision.negative] if pair.decision else None
    return [conversation_key(pair.messages), pair.positive, pair.negative, marks]


def steering_key(steering: Steering | None) -> Any:
    """A steering as part of a key: the digest of every vector in float32, by layer, and the positions."""
    if steering is None:
        return None
    vectors = {str(layer): digest_of(np.asarray(v, np.float32).tobytes().hex()) for layer, v in steering.vectors.items()}
    return {"vectors": vectors, "positions": steering.positions}


@dataclass(frozen=True)
class Recordings:
    """An engine and the store its answers are kept in."""

    engine: Engine
    store: Store
    grown: tuple[int, ...] = ()
    """Sizes of a list of scenarios from look to look, ascending. A list of the last size is asked for in the parts by which it grew, so
    that what an earlier look asked comes from the store."""

    def _parts(self, count: int) -> list[slice]:
        ends = self.grown if self.grown and self.grown[-1] == count else (count,)
        return [slice(start, end) for start, end in pairwise((0, *ends))]

    def key(self, subject: Subject, engine: Engine | None = None, **rest: Any) -> dict[str, Any]:
        """Under which an answer of this engine (None: the recordings' own) is kept; `rest` is what was asked, as JSON values."""
        engine = engine or self.engine
        return {"subject": subject.digest, "engine": engine.name, "numerics": engine.numerics, **rest}

    def forced_choice(self, subject: Subject, pairs: Sequence[Pair], steering: Steering | None = None) -> ForcedChoice:
        """Log-odds of every pair, [pairs]."""
        return ForcedChoice.joined([self._forced_choice(subject, pairs[part], steering) for part in self._parts(len(pairs))])

    def _forced_choice(self, subject: Subject, pairs: Sequence[Pair], steering: Steering | None) -> ForcedChoice:
        content = digest_of([pair_key(pair) for pair in pairs])
        key = self.key(subject, pairs=content, steering=steering_key(steering), **metrics_key())
        return ForcedChoice.from_arrays(
            self.store.arrays("forced-choice", key, lambda: forced_choice(self.engine, subject, pairs, steering).arrays())
        )

    def text_nll(self, subject: Subject, texts: Sequence[str], steering: Steering | None = None) -> Floats:
        """Negative log-likelihood of plain documents, nats a token, [texts]."""
        key = self.key(subject, texts=digest_of(list(texts)), steering=steering_key(steering))

        def compute() -> dict[str, Floats]:
            return {"nll": np.array([-s.per_token for s in score_texts(self.engine, subject, texts, steering)])}

        return self.store.arrays("text-nll", key, compute)["nll"]

    def forced_choices(self, subject: Subject, pairs: Sequence[Pair], steerings: Sequence[Steering]) -> list[ForcedChoice]:
        """Log-odds of every pair under each of many steerings, in one go."""
        parts = [self._forced_choices(subject, pairs[part], steerings) for part in self._parts(len(pairs))]
        return [ForcedChoice.joined(of_one) for of_one in zip(*parts, strict=True)]

    def _forced_choices(self, subject: Subject, pairs: Sequence[Pair], steerings: Sequence[Steering]) -> list[ForcedChoice]:
        content = digest_of([pair_key(pair) for pair in pairs])
        key = self.key(subject, pairs=content, steerings=[steering_key(steering) for steering in steerings], **metrics_key())

        def compute() -> dict[str, Floats]:
            choices = [from_scores(pairs, scores) for scores in self.engine.score_each(subject, completions_of(pairs), steerings)]
            return ForcedChoice.stacked(choices).arrays()

        return ForcedChoice.from_arrays(self.store.arrays("forced-choice", key, compute)).each()

    def choice_gradients(self, subject: Subject, pairs: Sequence[Pair], layers: Sequence[int]) -> Floats:
        """Gradient of every pair's log-odds at the decision in a vector added after a layer at all positions, [pairs, layers, d_model]."""
        content = digest_of([pair_key(pair) for pair in pairs])
        key = self.key(subject, self.engine.recorder(None), pairs=content, layers=list(layers))

        def compute() -> dict[str, Floats]:
            completions = completions_of(pairs)
            offsets = [row.offsets for row in rows_of(subject, completions)]
            weights = [one for i, pair in enumerate(pairs) for one in decision_weights(pair, offsets[2 * i], offsets[2 * i + 1])]
            of_each = self.engine.gradients(subject, completions, weights, layers)
            return {"gradients": of_each[::2] + of_each[1::2]}

        return self.store.arrays("gradients", key, compute)["gradients"]

    def text_gradients(self, subject: Subject, texts: Sequence[str], layers: Sequence[int]) -> Floats:
        """Gradient of every document's negative log-likelihood a token, as in `choice_gradients`, [texts, layers, d_model]."""
        key = self.key(subject, self.engine.recorder(None), texts=digest_of(list(texts)), layers=list(layers))

        def compute() -> dict[str, Floats]:
            return {"gradients": -self.engine.text_gradients(subject, texts, layers)}

        return self.store.arrays("gradients", key, compute)["gradients"]

    def patched_heads(
        self, subject: Subject, donor: Subject, pairs: Sequence[Pair], head_sets: Sequence[HeadSet], positions: Positions = "both"
    ) -> list[ForcedChoice]:
        """Log-odds of every pair with the outputs of the named heads taken from the donor, one for each head set."""
        named = [{str(layer): list(heads) for layer, heads in chosen.items()} for chosen in head_sets]
        content = digest_of([pair_key(pair) for pair in pairs])
        what = {"donor": donor.digest, "pairs": content, "heads": digest_of(named), "positions": positions}
        key = self.key(subject, self.engine.recorder(None), **what, **metrics_key())

        def compute() -> dict[str, Floats]:
            scored = self.engine.score_patched_heads(subject, donor, completions_of(pairs), head_sets, positions)
            return ForcedChoice.stacked([from_scores(pairs, scores) for scores in scored]).arrays()

        return ForcedChoice.from_arrays(self.store.arrays("patched", key, compute)).each()

    def patched_states(self, subject: Subject, donor: Subject, pairs: Sequence[Pair]) -> ForcedChoice:
        """Log-odds of every pair with the recurrent states after the user's content replaced by the donor's, [pairs]."""
        content = digest_of([pair_key(pair) for pair in pairs])
        key = self.key(subject, self.engine.recorder(None), states_of=donor.digest, pairs=content, **metrics_key())

        def compute() -> dict[str, Floats]:
            return from_scores(pairs, self.engine.score_patched_states(subject, donor, completions_of(pairs))).arrays()

        return ForcedChoice.from_arrays(self.store.arrays("exchanged", key, compute))

    def text_nlls(self, subject: Subject, texts: Sequence[str], steerings: Sequence[Steering]) -> Floats:
        """Negative log-likelihood of plain documents under each of many steerings, nats a token, [steerings, texts]."""
        key = self.key(subject, texts=digest_of(list(texts)), steerings=[steering_key(steering) for steering in steerings])

        def compute() -> dict[str, Floats]:
            scored = self.engine.score_texts_each(subject, texts, steerings)
            return {"nll": np.array([[-one.per_token for one in row] for row in scored])}

        return self.store.arrays("text-nll", key, compute)["nll"]

    def replies(
        self,
        subject: Subject,
        prompts: Sequence[tuple[Message, ...]],
        seed: int,
        steering: Steering | None = None,
        temperature: float = TEMPERATURE,
        max_new_tokens: int = MOST_TOKENS,
    ) -> list[str]:
        """One sampled reply a prompt."""
        return self.replies_each(subject, prompts, (seed,), steering, temperature, max_new_tokens)[0]

    def replies_each(
        self,
        subject: Subject,
        prompts: Sequence[tuple[Message, ...]],
        seeds: Sequence[int],
        steering: Steering | None = None,
        temperature: float = TEMPERATURE,
        max_new_tokens: int = MOST_TOKENS,
    ) -> list[list[str]]:
        """`replies` under each of many seeds, [seeds][prompts]; those that are not in the store are sampled together."""
        content = digest_of([conversation_key(p) for p in prompts])
        key = self.key(subject, prompts=content, steering=steering_key(steering), temperature=temperature)
        if max_new_tokens != MOST_TOKENS:
            key["max_new_tokens"] = max_new_tokens
        if (subject.base / "generation_config.json").is_file() and (ends := named_ends(subject)):
            key["ends"] = ends  # that file may change without the subject's digest

        def compute(places: list[int]) -> list[list[str]]:
            missing = [seeds[place] for place in places]
            return self.engine.generate_each(
                subject, prompts, seeds=missing, temperature=temperature, steering=steering, max_new_tokens=max_new_tokens
            )

        return self.store.json_each("replies", [{**key, "seed": seed} for seed in seeds], compute)

    def recorded(self, subject: Subject, completions: Sequence[Completion], sites: Sites, fed_by: Subject | None = None) -> list[Recorded]:
        """Attention rows, head outputs and residual streams of every completion, in order."""
        return [one for part in self._parts(len(completions)) for one in self._recorded(subject, completions[part], sites, fed_by)]

    def _recorded(self, subject: Subject, completions: Sequence[Completion], sites: Sites, fed_by: Subject | None) -> list[Recorded]:
        content = digest_of([[conversation_key(c.messages), c.text] for c in completions])
        engine = self.engine.recorder(sites, fed_by)
        key = self.key(subject, engine, completions=content, sites=asdict(sites), fed_by=fed_by and fed_by.digest)
        arrays = self.store.arrays("recordings", key, lambda: _pack(self.engine.record(subject, completions, sites, fed_by)))
        return _unpack(arrays, len(completions))


_BY_LAYER = ("heads", "residual", "norms", "states", "dynamics")


def _pack(recorded: Sequence[Recorded]) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    for i, one in enumerate(recorded):
        if one.attention is not None:
            arrays[f"{i}/attention"] = one.attention
        for field in _BY_LAYER:
            arrays |= {f"{i}/{field}/{layer}": np.asarray(value) for layer, value in getattr(one, field).items()}
    return arrays


def _unpack(arrays: Mapping[str, NDArray[Any]], count: int) -> list[Recorded]:
    fields: list[dict[str, dict[int, Any]]] = [{field: {} for field in _BY_LAYER} for _ in range(count)]
    attention: list[NDArray[np.float32] | None] = [None] * count
    for name, value in arrays.items():
        index, field, *layer = name.split("/")
        if field == "attention":
            attention[int(index)] = value
        else:
            fields[int(index)][field][int(layer[0])] = float(value) if field == "norms" else value
    return [Recorded(rows, **by_field) for rows, by_field in zip(attention, fields, strict=True)]
