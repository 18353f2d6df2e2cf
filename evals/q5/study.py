"""What Q5 reads and scores, each part when a check first needs it; everything is kept in the store. No statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from evals.q5.design import COHERENCE, FEW, METRIC
from evals.q5.search import Measured, Search, measured, prose, search
from fixtures import corpora
from harness.analysis.contrast import difference_of_means, first_component, logistic_probe
from harness.data.arrays import Floats, Names
from harness.data.behavior import Message, Pair, Split
from harness.engines.protocol import Completion, Sites, Steering
from harness.experiment.lab import Lab
from harness.experiment.profile import domains_of
from harness.readouts.steering import Vector, contrasts


@dataclass(frozen=True)
class Study:
    """One behavior. Shifts are changes of the log-odds against base, in nats a token of the decision unless it says otherwise."""

    lab: Lab

    @cached_property
    def search(self) -> Search:
        """The behavior's vectors, read from all its train pairs under true and shuffled labels; cells are chosen on dev pairs.

        InputError where thresholds.toml does not bound the cost.
        """
        lab = self.lab
        return search(lab, lab.pairs("train"), lab.pairs("dev"), lab.bound(COHERENCE), lab.behavior.name)

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """Test scenarios; none of them chose the cell."""
        return self.lab.pairs("test")

    @cached_property
    def domains(self) -> Names:
        """[pairs]"""
        return domains_of(self.pairs)

    @cached_property
    def before(self) -> Floats:
        """Base's log-odds, [pairs]."""
        return self.lab.recordings.forced_choice(self.lab.base, self.pairs).metric(METRIC)

    @cached_property
    def shift(self) -> Floats:
        """Shift by the vector at the chosen cell, [pairs]."""
        return self._shift(self.search.steering())

    @cached_property
    def reversed_shift(self) -> Floats:
        """Shift by the vector that points the other way, [pairs]."""
        return self._shift(self.search.steering(dose=-self.search.dose))

    @cached_property
    def shuffled(self) -> Floats:
        """Shifts by the vectors of shuffled labels, each at its own cell, [labelings - 1, pairs]."""
        added = self.search.shuffled()
        self.lab.progress(f"q5 {self.lab.behavior.name}: layer {self.search.layer}, dose {self.search.dose:g}; {len(added)} label shuffles")
        return self._shifts(added)

    @property
    def at_one_scale(self) -> Floats:
        """`shuffled` as it would be at the true vector's cell: in the SDs that vectors move at their own, times that of the true one's."""
        scale = self.search.cells.scale
        return np.asarray(self.shuffled * (scale[0] / scale[1:])[:, None])

    @cached_property
    def doses(self) -> tuple[Measured, ...]:
        """What the true vector does to dev pairs and dev prose at its layer, at every dose and reversed: beside what was predicted."""
        return measured(self.lab, self.search, self.lab.pairs("dev"))

    @cached_property
    def others(self) -> Mapping[str, Floats]:
        """Shifts by other vectors and other positions at the chosen cell, by a prompt and by the adapter: name to [pairs]."""
        found = self.search
        vectors = self._other_vectors()
        return {
            **dict(zip(vectors, self._shifts([found.steering(vector) for vector in vectors.values()]), strict=True)),
            "prefill only": self._shift(found.steering(positions="prefill")),
            "decode only": self._shift(found.steering(positions="decode")),
            "system prompt": self.prompted,
            "candidate" if self.lab.candidate else "trained adapter": self.adapted,
        }

    @cached_property
    def prompted(self) -> Floats:
        """Shift by a system prompt that asks for the behavior, [pairs]."""
        prompt = Message("system", self.lab.behavior.description)
        asked = [replace(pair, messages=(prompt, *pair.messages)) for pair in self.pairs]
        return self.lab.recordings.forced_choice(self.lab.base, asked).metric(METRIC) - self.before

    @cached_property
    def adapted(self) -> Floats:
        """Shift by the candidate; without one, by the suite's own training: [pairs]."""
        return self.lab.shift(self.lab.candidate or self.lab.trained_arm().subject, self.pairs).metric(METRIC)

    @cached_property
    def documents(self) -> tuple[corpora.Document, ...]:
        """Unrelated prose; none of it chose the cell."""
        return prose(self.lab, 1)

    @cached_property
    def cost(self) -> Floats:
        """Change of the documents' negative log-likelihood under the vector, nats a token, [documents]."""
        texts = [document.text for document in self.documents]
        recordings, base = self.lab.recordings, self.lab.base
        return recordings.text_nll(base, texts, self.search.steering()) - recordings.text_nll(base, texts)

    @cached_property
    def accepting_pairs(self) -> tuple[Pair, ...]:
        """Wrong and harmful directions; the positive completion declines."""
        return tuple(corpora.directions_not_to_take())

    @cached_property
    def accepting(self) -> Floats:
        """Shift toward carrying these directions out, nats a token over all tokens, [accepting_pairs]."""
        return -self._over_all_tokens(self.accepting_pairs)

    @cached_property
    def diluted_shift(self) -> Floats:
        """Shift by the vector, nats a token over all tokens, [pairs]: what `accepting`, whose pairs mark no decision, is compared with."""
        return self._over_all_tokens(self.pairs)

    @cached_property
    def simple(self) -> Search:
        """The same search for a simple feature, sentiment."""
        return search(self.lab, self._simple("train"), self._simple("dev"), self.lab.bound(COHERENCE), "sentiment")

    @cached_property
    def simple_pairs(self) -> tuple[Pair, ...]:
        """Sentiment's test pairs."""
        return self._simple("test")

    @cached_property
    def simple_shift(self) -> Floats:
        """Shift of sentiment by its own vector at its own cell, [simple_pairs]."""
        recordings, base, pairs = self.lab.recordings, self.lab.base, self.simple_pairs
        before = recordings.forced_choice(base, pairs).metric(METRIC)
        return recordings.forced_choice(base, pairs, self.simple.steering()).metric(METRIC) - before

    @staticmethod
    def _simple(split: Split) -> tuple[Pair, ...]:
        return tuple(corpora.sentiment().split(split))

    def _shifts(self, added: Sequence[Steering]) -> Floats:
        """[steerings, pairs]; scored in one go, so that the list is one entry of the store."""
        choices = self.lab.recordings.forced_choices(self.lab.base, self.pairs, added)
        return np.stack([choice.metric(METRIC) - self.before for choice in choices])

    def _shift(self, added: Steering) -> Floats:
        """[pairs]"""
        return np.asarray(self._shifts([added])[0])

    def _over_all_tokens(self, pairs: Sequence[Pair]) -> Floats:
        """Shift of each pair by the vector, over all tokens of the completions."""
        recordings, base = self.lab.recordings, self.lab.base
        steered = recordings.forced_choice(base, pairs, self.search.steering())
        return steered.above(recordings.forced_choice(base, pairs)).metric("per_token")

    def _other_vectors(self) -> dict[str, Vector]:
        """Other ways to read a vector at the chosen layer, and vectors of something else, [d_model] each."""
        positive, negative = self.search.contrast.positive, self.search.contrast.negative
        lab = self.lab
        sentiment = contrasts(lab.recordings, lab.base, self._simple("train"), list(self.search.contrasts))[self.search.layer]
        return {
            "first component": first_component(positive, negative),
            "logistic probe": logistic_probe(positive, negative),
            f"vector of {FEW} pairs": difference_of_means(positive[:FEW], negative[:FEW]),
            "length vector": self._length_vector(),
            "sentiment vector": difference_of_means(sentiment.positive, sentiment.negative),
        }

    def _length_vector(self) -> Vector:
        """Long against short neutral replies: what a vector that only knew about length would do."""
        lab, layer = self.lab, self.search.layer
        ordered = sorted(lab.arms.neutral, key=lambda c: (len(c.text.split()), c.text))
        short, long = ordered[:FEW], ordered[-FEW:]
        completions = [Completion(c.messages, c.text) for c in (*long, *short)]
        recorded = lab.recordings.recorded(lab.base, completions, Sites(residual_layers=(layer,)))
        rows = np.stack([one.residual[layer] for one in recorded]).astype(np.float64)
        return difference_of_means(rows[: len(long)], rows[len(long) :])
