"""The two agents that watch conversations, as protocols with an embedded default each.

`surface-observe`: conversation → memory nodes, ranked. The embedded one is a personalised PageRank (Page et al. 1999) that restarts at
the nodes whose texts are like the conversation, in proportion. `training-signal`: conversation → flagged as a failure or not, with the
pattern, the span and a confidence. The embedded one reads wording with the behavior's judge. Neither sees a node's id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from harness.data.arrays import Floats
from harness.data.behavior import Message
from harness.judges.embedded import SENTENCE_END, STEM, TOKEN
from harness.judges.judge import Judge, JudgeError, Label
from harness.memory.graph import MemoryGraph
from harness.memory.similarity import Similarity
from harness.store import Store, digest_of

SCORING = 1
"""Raised with every change of what an embedded agent answers: stored activations of older rules are not read."""
DAMPING = 0.85
"""Share of the activation that walks on along a link; the rest restarts at the seeds."""


class AgentError(RuntimeError):
    """An agent crashed, hung, or answered what is no answer. What rests on it is inconclusive, with this reason."""


@dataclass(frozen=True)
class Conversation:
    """Turns that end with the user's, and the assistant's reply."""

    messages: tuple[Message, ...]
    reply: str

    @property
    def own_words(self) -> str:
        """What the reply adds of its own: without the words that the user had used, which say what it is about, not what it does.

        With the sentence model it surfaced failures better on dev pairs than the whole conversation or the reply did (docs/gotchas.md).
        """
        asked = {word.lower()[:STEM] for message in self.messages for word in TOKEN.findall(message.content) if word[0].isalnum()}
        return " ".join(word for word in TOKEN.findall(self.reply) if word.lower()[:STEM] not in asked)


@dataclass(frozen=True)
class Flag:
    """What training-signal says of one conversation."""

    flagged: bool
    pattern: str | None
    """Id of the pattern it is an instance of."""
    span: str | None
    """The part of the reply that shows it."""
    confidence: float
    """That it is a failure, 0 to 1."""


class SurfaceObserve(Protocol):
    @property
    def name(self) -> str: ...

    def surface(self, graph: MemoryGraph, conversations: Sequence[Conversation]) -> Floats:
        """Activation of every node by every conversation, [conversations, nodes], in the graph's order; higher is surfaced first."""
        ...


class TrainingSignal(Protocol):
    @property
    def name(self) -> str: ...

    def flag(self, conversations: Sequence[Conversation]) -> list[Flag]:
        """One flag a conversation, in order."""
        ...


@dataclass(frozen=True)
class EmbeddedSurface:
    """Similarity seeds, then personalised PageRank over the links."""

    similarity: Similarity
    damping: float = DAMPING

    @property
    def name(self) -> str:
        return f"embedded-{self.similarity.name}"

    def surface(self, graph: MemoryGraph, conversations: Sequence[Conversation]) -> Floats:
        alike = self.similarity.between([c.own_words for c in conversations], [node.text for node in graph.nodes])
        strength = np.array([node.strength for node in graph.nodes])
        seeds = np.maximum(alike, 0) * strength
        total = seeds.sum(axis=1, keepdims=True)
        seeds = np.where(total > 0, seeds / np.where(total > 0, total, 1), 1 / seeds.shape[1])
        return personalized_pagerank(transition(graph), seeds, self.damping)


@dataclass(frozen=True)
class StoredSurface:
    """An embedded agent whose activations are kept in the store: the same conversations and memory are read once."""

    agent: EmbeddedSurface
    store: Store

    @property
    def name(self) -> str:
        return self.agent.name

    def surface(self, graph: MemoryGraph, conversations: Sequence[Conversation]) -> Floats:
        said = [[[(m.role, m.content) for m in each.messages], each.reply] for each in conversations]
        key = {
            "agent": self.name,
            "rules": SCORING,
            "damping": self.agent.damping,
            "memory": graph.digest,
            "conversations": digest_of(said),
        }
        order = np.argsort([node.id for node in graph.nodes])  # the digest of a graph does not know the order of its nodes

        def compute() -> dict[str, Floats]:
            return {"activation": self.agent.surface(graph, conversations)[:, order]}

        return np.asarray(self.store.arrays("activations", key, compute)["activation"][:, np.argsort(order)])


def transition(graph: MemoryGraph) -> Floats:
    """Row-stochastic [nodes, nodes] along links in both directions by weight; a node without links keeps its activation."""
    matrix = np.zeros((len(graph.nodes), len(graph.nodes)))
    for link in graph.links:
        i, j = graph.index[link.source], graph.index[link.target]
        matrix[i, j] += link.weight
        matrix[j, i] += link.weight
    alone = matrix.sum(axis=1) == 0
    matrix[alone, alone.nonzero()[0]] = 1.0
    return np.asarray(matrix / matrix.sum(axis=1, keepdims=True))


def personalized_pagerank(walk: Floats, seeds: Floats, damping: float = DAMPING) -> Floats:
    """Stationary activation of walks that restart at `seeds` [queries, nodes] with probability 1 − damping; the same shape, rows sum to 1.

    Solves rank = damping · rank · walk + (1 − damping) · seeds for all queries at once; networkx.pagerank iterates to the same, a query
    at a time (tests).
    """
    return np.asarray((1 - damping) * np.linalg.solve(np.eye(len(walk)) - damping * walk.T, seeds.T).T)


@dataclass(frozen=True)
class EmbeddedSignal:
    """Flags what the behavior's judge calls the opposite of the behavior. What it cannot read it does not flag."""

    judge: Judge
    pattern: str

    @property
    def name(self) -> str:
        return self.judge.name

    def flag(self, conversations: Sequence[Conversation]) -> list[Flag]:
        try:
            labels = self.judge.labels([each.messages for each in conversations], [each.reply for each in conversations])
            return [self._flag(each, label) for each, label in zip(conversations, labels, strict=True)]
        except JudgeError as error:
            raise AgentError(f"training-signal: {error}") from None

    def _flag(self, conversation: Conversation, label: Label) -> Flag:
        confidence = 1 - self.judge.score(conversation.messages, conversation.reply)
        if label != "negative":
            return Flag(False, None, None, confidence)
        sentences = [sentence for sentence in SENTENCE_END.split(conversation.reply) if sentence.strip()]
        span = min(sentences, key=lambda sentence: self.judge.score(conversation.messages, sentence))
        return Flag(True, self.pattern, span, confidence)
