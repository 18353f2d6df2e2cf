"""The agents that run inside this project, without a program of the user's.

surface-observe is a personalized PageRank over the memory graph that restarts at the nodes whose texts resemble the reply. training-signal
flags what the behavior's judge calls the opposite of the behavior; it reads wording, not intent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from harness.agents.agent import AgentError, Conversation, Flag
from harness.data.arrays import Floats
from harness.judges.judge import Judge, JudgeError, Label
from harness.judges.wording import SENTENCE_END, STEM, TOKEN
from harness.memory.graph import MemoryGraph
from harness.memory.pagerank import DAMPING, personalized_pagerank, transition
from harness.memory.similarity import Similarity
from harness.store import Store, digest_of

SCORING = 1
"""Version of the rules below, part of the store key: raise it with every change of what an embedded agent answers."""


def own_words(conversation: Conversation) -> str:
    """The words of the reply that the user had not used, joined by spaces.

    Words that the user had used show what the conversation is about, not what the reply does. With the sentence model this surfaced
    failures better on dev pairs than the whole conversation or the whole reply (docs/gotchas.md).
    """
    asked = {word.lower()[:STEM] for message in conversation.messages for word in TOKEN.findall(message.content) if word[0].isalnum()}
    return " ".join(word for word in TOKEN.findall(conversation.reply) if word.lower()[:STEM] not in asked)


@dataclass(frozen=True)
class EmbeddedSurface:
    """Seeds are the similarity of the reply to each node's text times the node's strength; PageRank carries them along the links."""

    similarity: Similarity
    damping: float = DAMPING
    """Share of the activation that walks on along a link, 0 to below 1."""

    @property
    def name(self) -> str:
        return f"embedded-{self.similarity.name}"

    def surface(self, graph: MemoryGraph, conversations: Sequence[Conversation]) -> Floats:
        """Activation [conversations, nodes]; rows sum to 1. A reply that resembles no node is seeded equally at all nodes."""
        similar = self.similarity.between([own_words(each) for each in conversations], [node.text for node in graph.nodes])
        strength = np.array([node.strength for node in graph.nodes])
        seeds = np.maximum(similar, 0) * strength
        total = seeds.sum(axis=1, keepdims=True)
        seeds = np.where(total > 0, seeds / np.where(total > 0, total, 1), 1 / seeds.shape[1])
        return personalized_pagerank(transition(graph), seeds, self.damping)


@dataclass(frozen=True)
class StoredSurface:
    """An embedded agent whose activations are kept in the store: the same conversations over the same memory are computed once."""

    agent: EmbeddedSurface
    store: Store

    @property
    def name(self) -> str:
        return self.agent.name

    def surface(self, graph: MemoryGraph, conversations: Sequence[Conversation]) -> Floats:
        """What the agent itself answers, read from the store where the same was asked before."""
        key = {
            "agent": self.name,
            "rules": SCORING,
            "damping": self.agent.damping,
            "memory": graph.digest,
            "conversations": _digest(conversations),
        }
        order = np.argsort([node.id for node in graph.nodes])  # a graph's digest does not depend on the order of its nodes

        def compute() -> dict[str, Floats]:
            return {"activation": self.agent.surface(graph, conversations)[:, order]}

        return np.asarray(self.store.arrays("activations", key, compute)["activation"][:, np.argsort(order)])


@dataclass(frozen=True)
class EmbeddedSignal:
    """Flags replies that the behavior's judge labels negative; a reply that it labels "neither" is not flagged."""

    judge: Judge
    pattern: str
    """Id of the pattern that every flag names: the failure pattern of the behavior."""

    @property
    def name(self) -> str:
        return self.judge.name

    def flag(self, conversations: Sequence[Conversation]) -> list[Flag]:
        """One flag for each conversation. AgentError where the judge fails (only a judge behind an endpoint can)."""
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


@dataclass(frozen=True)
class StoredSignal:
    """An embedded signal whose flags are kept in the store."""

    agent: EmbeddedSignal
    store: Store

    @property
    def name(self) -> str:
        return self.agent.name

    def flag(self, conversations: Sequence[Conversation]) -> list[Flag]:
        """What the agent itself answers, read from the store where the same was asked before. AgentError where the judge fails."""
        try:
            key = {
                "judge": self.agent.judge.digest,
                "rules": SCORING,
                "pattern": self.agent.pattern,
                "conversations": _digest(conversations),
            }
        except JudgeError as error:
            raise AgentError(f"training-signal: {error}") from None
        flags = self.store.json("flags", key, lambda: [asdict(flag) for flag in self.agent.flag(conversations)])
        return [Flag(**flag) for flag in flags]


def _digest(conversations: Sequence[Conversation]) -> str:
    return digest_of([[[(m.role, m.content) for m in each.messages], each.reply] for each in conversations])
