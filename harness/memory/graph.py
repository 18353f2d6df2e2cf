"""A memory graph as it was at one moment: nodes in natural language, typed and weighted links, and a digest of both.

Experiments read such snapshots and never write to one. On disk a graph is a folder of `nodes.jsonl` and `links.jsonl`, or an SQLite file
(`harness.memory.store`); both hold the same.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field

from harness.behaviors.rows import Strict, Text, read_rows
from harness.data.errors import InputError
from harness.store import digest_of

NodeKind = Literal["pattern", "episode", "fact"]
"""pattern: a habit seen in several conversations. episode: one conversation. fact: something that is known."""
LinkKind = Literal["instance_of", "about", "follows", "contrasts_with", "supports"]
NODES, LINKS = "nodes.jsonl", "links.jsonl"


@dataclass(frozen=True)
class Node:
    """One memory."""

    id: str
    """A unique name, for people to read: no score may depend on its wording."""
    kind: NodeKind
    text: str
    """What is remembered, in natural language."""
    created: str
    """Date and time in ISO 8601."""
    strength: float
    """How firmly it is remembered, above 0 and at most 1."""


@dataclass(frozen=True)
class Link:
    """A typed link from one node to another; walks follow it in both directions."""

    source: str
    """Id of a node."""
    target: str
    """Id of another node."""
    kind: LinkKind
    weight: float
    """How closely the two belong together, above 0 and at most 1."""


class _NodeRow(Strict):
    id: Text
    kind: NodeKind
    text: Text
    created: Text
    strength: float = Field(gt=0, le=1)


class _LinkRow(Strict):
    source: Text
    target: Text
    kind: LinkKind
    weight: float = Field(gt=0, le=1)


@dataclass(frozen=True)
class MemoryGraph:
    """A snapshot: ids are unique, links join nodes that exist."""

    nodes: tuple[Node, ...]
    links: tuple[Link, ...]

    @cached_property
    def digest(self) -> str:
        """Digest of all nodes and links, the same whatever their order."""
        nodes = sorted((asdict(node) for node in self.nodes), key=lambda row: row["id"])
        links = sorted((asdict(link) for link in self.links), key=lambda row: (row["source"], row["target"], row["kind"]))
        return digest_of({"nodes": nodes, "links": links})

    @cached_property
    def index(self) -> dict[str, int]:
        """Place of every node in `nodes`, by id."""
        return {node.id: i for i, node in enumerate(self.nodes)}

    def of_kind(self, kind: NodeKind) -> tuple[Node, ...]:
        """The nodes of one kind, in the graph's order."""
        return tuple(node for node in self.nodes if node.kind == kind)

    def degree(self, id: str) -> int:
        """Number of links at a node, in either direction."""
        return sum((link.source == id) + (link.target == id) for link in self.links)

    def renamed(self, names: Sequence[str]) -> MemoryGraph:
        """The same graph under other ids, one for each node in order. No score may change by it."""
        new = dict(zip(self.index, names, strict=True))
        return MemoryGraph(
            tuple(replace(node, id=new[node.id]) for node in self.nodes),
            tuple(replace(link, source=new[link.source], target=new[link.target]) for link in self.links),
        )


def checked(nodes: Sequence[tuple[str, Node]], links: Sequence[tuple[str, Link]]) -> MemoryGraph:
    """The graph of these rows, each given with the place it was read from. InputError names the place of the first wrong row."""
    seen: set[str] = set()
    for place, node in nodes:
        if node.id in seen:
            raise InputError(f"{place}: id {node.id} occurs twice; allowed: every id once")
        seen.add(node.id)
        try:
            datetime.fromisoformat(node.created)
        except ValueError:
            raise InputError(f"{place}: created is {node.created!r}; allowed: a date and time in ISO 8601") from None
    joined: set[tuple[str, str, str]] = set()
    for place, link in links:
        for end in (link.source, link.target):
            if end not in seen:
                raise InputError(f"{place}: links to {end}, which is no node; allowed: the ids of {NODES}")
        if link.source == link.target:
            raise InputError(f"{place}: links {link.source} to itself; allowed: two different nodes")
        key = (link.source, link.target, link.kind)
        if key in joined:
            raise InputError(f"{place}: {link.kind} from {link.source} to {link.target} occurs twice; allowed: once")
        joined.add(key)
    return MemoryGraph(tuple(node for _, node in nodes), tuple(link for _, link in links))


def read_graph(folder: Path) -> MemoryGraph:
    """The snapshot in a folder of `nodes.jsonl` and `links.jsonl`. InputError with file and line for the first thing that is wrong."""
    for name in (NODES, LINKS):
        if not (folder / name).is_file():
            raise InputError(f"{folder / name}: no such file; a memory graph is a folder with {NODES} and {LINKS}")
    nodes = [(f"{folder / NODES}, line {line}", Node(**row.model_dump())) for line, row in read_rows(folder / NODES, _NodeRow)]
    links = [(f"{folder / LINKS}, line {line}", Link(**row.model_dump())) for line, row in read_rows(folder / LINKS, _LinkRow)]
    return checked(nodes, links)


def write_graph(graph: MemoryGraph, folder: Path) -> None:
    """Write a snapshot as JSON lines. InputError where the folder holds a graph already."""
    if (folder / NODES).exists() or (folder / LINKS).exists():
        raise InputError(f"{folder}: holds a memory graph already; allowed: a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in ((NODES, graph.nodes), (LINKS, graph.links)):
        text = "".join(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows)
        (folder / name).write_text(text, encoding="utf-8")
