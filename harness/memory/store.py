"""A memory graph that grows, in one SQLite file. Experiments take a snapshot of it and never write to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import astuple
from pathlib import Path

from harness.data.errors import InputError
from harness.memory.graph import Link, MemoryGraph, Node, checked

_TABLES = """
create table if not exists nodes (
    id text primary key, kind text not null, text text not null, created text not null, strength real not null);
create table if not exists links (
    source text not null references nodes (id), target text not null references nodes (id),
    kind text not null, weight real not null, primary key (source, target, kind));
"""


class MemoryStore:
    """A graph in a file; every call is one transaction."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, graph: MemoryGraph) -> None:
        """Add nodes and links. A node with the same id is replaced, and so is a link with the same ends and kind."""
        with self._open() as connection:
            connection.executemany("insert or replace into nodes values (?, ?, ?, ?, ?)", [astuple(node) for node in graph.nodes])
            connection.executemany("insert or replace into links values (?, ?, ?, ?)", [astuple(link) for link in graph.links])

    def snapshot(self) -> MemoryGraph:
        """The graph as it is now. InputError where there is no file, it is no SQLite file, or its rows do not form a graph."""
        if not self.path.is_file():
            raise InputError(f"{self.path}: no such file; a memory store is an SQLite file made by `python -m harness memory import`")
        try:
            with self._open() as connection:
                nodes = [Node(*row) for row in connection.execute("select * from nodes order by rowid")]
                links = [Link(*row) for row in connection.execute("select * from links order by rowid")]
        except sqlite3.DatabaseError as error:
            raise InputError(f"{self.path}: not a memory store ({error}); allowed: an SQLite file or a folder of JSON lines") from None
        return checked([(f"{self.path}, {n.id}", n) for n in nodes], [(f"{self.path}, {k.source} to {k.target}", k) for k in links])

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.path, timeout=60)) as connection, connection:
            connection.executescript(_TABLES)
            yield connection
