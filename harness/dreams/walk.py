"""Seeds of dreams: random walks over the memory graph that start at recent patterns.

A walk starts at a pattern with probability proportional to strength · 2^(−age / HALF_LIFE); the age is counted back from the newest
pattern. Each further step follows a link, in either direction, with probability proportional to its weight. A walk does not go straight
back unless there is nowhere else to go.
"""

from __future__ import annotations

from datetime import datetime

import numpy as np

from harness.data.arrays import Floats
from harness.memory.graph import MemoryGraph, Node
from harness.memory.pagerank import transition

HALF_LIFE = 7.0
"""Days after which a pattern is half as likely to be started from."""
STEPS = 2
"""Links that a walk follows: from a pattern to an instance of it, and on to what the instance was about."""
Walk = tuple[Node, ...]
"""The nodes of a walk in order, each once."""


def _starts(patterns: tuple[Node, ...]) -> Floats:
    """Probability of each pattern to be started from, [patterns]."""
    created = np.array([datetime.fromisoformat(node.created).timestamp() for node in patterns])
    weight = np.array([node.strength for node in patterns]) * 0.5 ** ((created.max() - created) / 86_400 / HALF_LIFE)
    return np.asarray(weight / weight.sum())


def walks(graph: MemoryGraph, count: int, rng: np.random.Generator, steps: int = STEPS) -> list[Walk]:
    """`count` walks of at most `steps` + 1 nodes each. ValueError where the graph has no pattern."""
    patterns = graph.of_kind("pattern")
    if not patterns:
        raise ValueError("the memory graph has no pattern to dream of")
    chances, along = _starts(patterns), transition(graph)
    found = []
    for start in rng.choice(len(patterns), size=count, p=chances):
        walk = [graph.index[patterns[start].id]]
        for _ in range(steps):
            chance = along[walk[-1]].copy()
            if len(walk) > 1 and chance[walk[-2]] < 1:
                chance[walk[-2]] = 0
            walk.append(int(rng.choice(len(chance), p=chance / chance.sum())))
        found.append(tuple(graph.nodes[i] for i in dict.fromkeys(walk)))
    return found
