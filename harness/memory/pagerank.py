"""Personalized PageRank over a memory graph (Page et al. 1999): where walks are found that start at the seeds and return to them.

With transition matrix T [nodes, nodes], seeds s (a distribution over the nodes) and damping d, the activation r solves
r = d · r · T + (1 − d) · s. It is a distribution over the nodes again. It cannot show which link carried the activation.
"""

from __future__ import annotations

import numpy as np

from harness.data.arrays import Floats
from harness.memory.graph import MemoryGraph

DAMPING = 0.85
"""Share of the activation that walks on along a link at each step; the rest restarts at the seeds. The value of Page et al."""


def transition(graph: MemoryGraph) -> Floats:
    """Probability of a step from each node (rows) to each node (columns), [nodes, nodes]; every row sums to 1.

    Links are walked in both directions, in proportion to their weight. From a node without links the walk stays where it is.
    """
    matrix = np.zeros((len(graph.nodes), len(graph.nodes)))
    for link in graph.links:
        i, j = graph.index[link.source], graph.index[link.target]
        matrix[i, j] += link.weight
        matrix[j, i] += link.weight
    alone = matrix.sum(axis=1) == 0
    matrix[alone, alone.nonzero()[0]] = 1.0
    return np.asarray(matrix / matrix.sum(axis=1, keepdims=True))


def personalized_pagerank(walk: Floats, seeds: Floats, damping: float = DAMPING) -> Floats:
    """Activation of every node by every query, [queries, nodes]; rows sum to 1.

    `walk` is a transition matrix [nodes, nodes], `seeds` one distribution over the nodes for each query [queries, nodes]. All queries are
    solved at once; networkx.pagerank iterates to the same values one query at a time (tests compare the two).
    """
    return np.asarray((1 - damping) * np.linalg.solve(np.eye(len(walk)) - damping * walk.T, seeds.T).T)
