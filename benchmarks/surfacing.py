"""Which similarity surfaces a failure best, on dev pairs: the sentence model, the base model's own states, or words.

    python benchmarks/surfacing.py [--store PATH]

For each shipped behavior: the gain in AUC of the failure pattern over the placebo patterns with its 95 % interval, once for degraded
against healthy sampled replies (two for each scenario) and once for written negative against positive completions. The similarity that the
embedded agent uses was chosen here, never on test pairs.
"""

from __future__ import annotations

import harness  # noqa: F401  # isort: skip  # before transformers: see harness/process/torchvision_cpu.py

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evals.q4.surfacing import placebos
from fixtures.laboratory import make_lab
from fixtures.memory import load_memory
from fixtures.models.figures import TINY_HYBRID
from harness.agents.agent import Conversation
from harness.agents.embedded import EmbeddedSurface
from harness.analysis.auc import auc_gain
from harness.arms.cycles import cycles
from harness.behaviors.files import load_behavior
from harness.behaviors.shipped import resolve_behavior, shipped_behaviors
from harness.data.arrays import Floats
from harness.data.behavior import Message
from harness.data.settings import PROJECT, Settings
from harness.engines.hf.engine import HFEngine
from harness.engines.protocol import Completion, Sites
from harness.experiment.lab import Lab
from harness.experiment.profile import domains_of
from harness.gate.verdict.thresholds import load_thresholds
from harness.memory.similarity import Hybrid, Lexical, SentenceModel, Similarity
from harness.store import Store
from harness.subjects.files import base_subject
from harness.subjects.named import model_layer_kinds


class WholeReply(SentenceModel):
    """The sentence model as it comes: all words of a query, and texts without their mean subtracted."""

    name = "sentence model, plain"

    def between(self, queries: Sequence[str], texts: Sequence[str]) -> Floats:
        return np.asarray(self.embeddings([query or "." for query in queries]) @ self.embeddings(texts).T)


class BaseStates:
    """Cosine of the base model's residual stream at one layer, averaged over the tokens of a text as an answer to a fixed question."""

    def __init__(self, lab: Lab, layer: int) -> None:
        self.lab, self.layer, self.name = lab, layer, f"base model's states, layer {layer}"

    def _states(self, texts: Sequence[str]) -> Floats:
        asked = (Message("user", "What happened?"),)
        recorded = self.lab.recordings.recorded(
            self.lab.base, [Completion(asked, text or ".") for text in texts], Sites(residual_layers=(self.layer,))
        )
        states = np.array([one.residual[self.layer] for one in recorded], dtype=np.float64)
        states -= states.mean(axis=0)
        return np.asarray(states / np.linalg.norm(states, axis=1, keepdims=True))

    def between(self, queries: Sequence[str], texts: Sequence[str]) -> Floats:
        return np.asarray(self._states(queries) @ self._states(texts).T)


def main() -> None:
    """Print a row for each behavior and similarity."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, default=PROJECT / ".store")
    store = parser.parse_args().store
    memory = load_memory(None)
    behaviors = [load_behavior(resolve_behavior(name)) for name in shipped_behaviors()]
    failures = [behavior.memory_node for behavior in behaviors]
    for behavior in behaviors:
        lab = make_lab(
            Settings(store=store),
            behavior,
            base_subject("tiny-hybrid", TINY_HYBRID),
            None,
            model_layer_kinds(TINY_HYBRID),
            HFEngine(),
            Store(store),
            load_thresholds(PROJECT / "thresholds.toml"),
            print,
        )
        pairs, made = behavior.split("dev"), cycles(lab.arms, 0)
        where = [memory.index[name] for name in [behavior.memory_node, *placebos(memory, behavior.memory_node, failures)]]
        most = made.degraded[max(made.degraded)]
        sampled = [
            [
                Conversation(pair.messages, reply)
                for seed in (0, 1)
                for pair, reply in zip(pairs, lab.recordings.replies(subject, [p.messages for p in pairs], seed), strict=True)
            ]
            for subject in (most, made.healthy)
        ]
        written = [[Conversation(p.messages, getattr(p, side)) for p in pairs] for side in ("negative", "positive")]
        domains = domains_of(pairs)
        similarities: list[Similarity] = [Hybrid(), SentenceModel(), WholeReply(), Lexical()]
        similarities += [BaseStates(lab, layer) for layer in range(1, len(lab.layer_kinds), 2)]
        for similarity in similarities:
            surface = EmbeddedSurface(similarity)
            cells = []
            for (degraded, healthy), clusters in ((sampled, np.concatenate([domains, domains])), (written, domains)):
                scores = [surface.surface(memory, each)[:, where].T for each in (degraded, healthy)]
                gain, areas = auc_gain(scores[0], scores[1], clusters, 0.05, np.random.default_rng(0))
                cells.append(f"{gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}] (AUC {areas[0]:.3f})")
            print(f"{behavior.name:12} {similarity.name:32} sampled {cells[0]}   written {cells[1]}", flush=True)


if __name__ == "__main__":
    main()
