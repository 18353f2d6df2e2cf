"""What the most changed heads carry: their outputs put from one model into the other, against random heads.

Heads are ranked on one half of the domains and patched on the other, so that heads ranked by noise recover no more than random heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evals.q3.design import DRAWS, SHARES
from evals.q3.heads import Head, as_set
from harness.analysis.folds import folds_by_cluster
from harness.analysis.head_ranking import top
from harness.data.arrays import Floats
from harness.data.behavior import Pair
from harness.data.subject import Subject
from harness.experiment.lab import Lab
from harness.experiment.profile import domains_of
from harness.readouts.forced_choice import PRIMARY


@dataclass(frozen=True)
class Patching:
    """Shifts of the log-odds in units of the primary metric, every scenario patched with the heads ranked on the other half."""

    sizes: tuple[int, ...]
    """Numbers of heads; the last is all of them."""
    into_base: Floats  # [sizes, pairs], trained heads put into base
    random: Floats  # [sizes - 1, draws, pairs], random trained heads put into base
    layer_matched: Floats  # [sizes - 1, draws, pairs], random heads, as many of each layer as the top ones have
    into_trained: Floats  # [sizes, pairs], base's heads put into the trained model: the loss, positive where the behavior falls


def patch(lab: Lab, subject: Subject, pairs: tuple[Pair, ...], heads: tuple[Head, ...], distances: Floats) -> Patching:
    """`distances` [pairs, heads] is what heads are ranked by."""
    count = len(heads)
    sizes = tuple(sorted({1, *(max(1, round(share * count)) for share in SHARES), count}))
    folds = folds_by_cluster(domains_of(pairs), 2, lab.rng("q3", "halves"))
    into_base, into_trained = np.zeros((len(sizes), len(pairs))), np.zeros((len(sizes), len(pairs)))
    random, matched = (np.zeros((len(sizes) - 1, DRAWS, len(pairs))) for _ in range(2))
    rng = lab.rng("q3", "random heads")
    drawn = [[rng.permutation(count) for _ in range(DRAWS)] for _ in range(2)]
    for fold in range(2):
        here = folds == fold
        part = tuple(pair for pair, chosen in zip(pairs, here, strict=True) if chosen)
        ranked = [heads[i] for i in top(distances[~here].mean(axis=0), count)]
        sets = [as_set(ranked[:size]) for size in sizes]
        nulls = [as_set([heads[i] for i in drawn[fold][d][:size]]) for size in sizes[:-1] for d in range(DRAWS)]
        of_layers = [as_set(_layer_matched(ranked[:size], heads, rng)) for size in sizes[:-1] for _ in range(DRAWS)]
        plain = {name: lab.recordings.forced_choice(one, part).metric(PRIMARY) for name, one in (("base", lab.base), ("trained", subject))}
        patched = [choice.metric(PRIMARY) for choice in lab.recordings.patched_heads(lab.base, subject, part, [*sets, *nulls, *of_layers])]
        shifts = np.stack(patched) - plain["base"]
        into_base[:, here] = shifts[: len(sizes)]
        random[:, :, here] = shifts[len(sizes) : len(sizes) + len(nulls)].reshape(len(sizes) - 1, DRAWS, -1)
        matched[:, :, here] = shifts[len(sizes) + len(nulls) :].reshape(len(sizes) - 1, DRAWS, -1)
        undone = [choice.metric(PRIMARY) for choice in lab.recordings.patched_heads(subject, lab.base, part, sets)]
        into_trained[:, here] = plain["trained"] - np.stack(undone)
    return Patching(sizes, into_base, random, matched, into_trained)


def _layer_matched(chosen: Sequence[Head], heads: Sequence[Head], rng: np.random.Generator) -> list[Head]:
    """As many heads of each layer as `chosen` has, drawn at random."""
    found: list[Head] = []
    for layer in sorted({head.layer for head in chosen}):
        of_layer = [head for head in heads if head.layer == layer]
        wanted = sum(head.layer == layer for head in chosen)
        found.extend(of_layer[int(i)] for i in rng.permutation(len(of_layer))[:wanted])
    return found
