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
from harness.engines.protocol import HeadSet
from harness.experiment.lab import Lab
from harness.experiment.profile import domains_of
from harness.readouts.forced_choice import PRIMARY


@dataclass(frozen=True)
class Patching:
    """Shifts of the log-odds in units of the primary metric, every scenario patched with the heads ranked on the other half.

    Random heads and base's heads are shown beside, for which the first subject is enough.
    """

    sizes: tuple[int, ...]
    """Numbers of heads; the last is all of them."""
    into_base: Floats  # [sizes, subjects, pairs], trained heads put into base
    random: Floats  # [sizes - 1, draws, pairs], random trained heads of the first subject put into base
    layer_matched: Floats  # [sizes - 1, draws, pairs], random heads, as many of each layer as the top ones have
    into_trained: Floats  # [sizes, pairs], base's heads put into the first subject: the loss, positive where the behavior falls


def patch(lab: Lab, subjects: Sequence[Subject], pairs: tuple[Pair, ...], heads: tuple[Head, ...], distances: Floats) -> Patching:
    """`distances` [subjects, pairs, heads] is what each subject's heads are ranked by."""
    count = len(heads)
    sizes = tuple(sorted({1, *(max(1, round(share * count)) for share in SHARES), count}))
    folds = folds_by_cluster(domains_of(pairs), 2, lab.rng("q3", "halves"))
    into_base, into_trained = np.zeros((len(sizes), len(subjects), len(pairs))), np.zeros((len(sizes), len(pairs)))
    random, matched = (np.zeros((len(sizes) - 1, DRAWS, len(pairs))) for _ in range(2))
    rng = lab.rng("q3", "random heads")
    drawn = [[rng.permutation(count) for _ in range(DRAWS)] for _ in range(2)]
    for fold in range(2):
        here = folds == fold
        part = tuple(pair for pair, chosen in zip(pairs, here, strict=True) if chosen)
        base = lab.recordings.forced_choice(lab.base, part).metric(PRIMARY)

        def brought(subject: Subject, sets: list[HeadSet], part: tuple[Pair, ...] = part, base: Floats = base) -> Floats:
            """[sets, part]"""
            return np.stack([one.metric(PRIMARY) for one in lab.recordings.patched_heads(lab.base, subject, part, sets)]) - base

        for i, subject in enumerate(subjects):
            ranked = [heads[h] for h in top(distances[i, ~here].mean(axis=0), count)]
            sets = [as_set(ranked[:size]) for size in sizes]
            if i > 0:
                into_base[:, i, here] = brought(subject, sets)
                continue
            nulls = [as_set([heads[h] for h in drawn[fold][d][:size]]) for size in sizes[:-1] for d in range(DRAWS)]
            of_layers = [as_set(_layer_matched(ranked[:size], heads, rng)) for size in sizes[:-1] for _ in range(DRAWS)]
            shifts = brought(subject, [*sets, *nulls, *of_layers])
            into_base[:, i, here] = shifts[: len(sizes)]
            random[:, :, here] = shifts[len(sizes) : len(sizes) + len(nulls)].reshape(len(sizes) - 1, DRAWS, -1)
            matched[:, :, here] = shifts[len(sizes) + len(nulls) :].reshape(len(sizes) - 1, DRAWS, -1)
            undone = [choice.metric(PRIMARY) for choice in lab.recordings.patched_heads(subject, lab.base, part, sets)]
            into_trained[:, here] = lab.recordings.forced_choice(subject, part).metric(PRIMARY) - np.stack(undone)
    return Patching(sizes, into_base, random, matched, into_trained)


def _layer_matched(chosen: Sequence[Head], heads: Sequence[Head], rng: np.random.Generator) -> list[Head]:
    """As many heads of each layer as `chosen` has, drawn at random."""
    found: list[Head] = []
    for layer in sorted({head.layer for head in chosen}):
        of_layer = [head for head in heads if head.layer == layer]
        wanted = sum(head.layer == layer for head in chosen)
        found.extend(of_layer[int(i)] for i in rng.permutation(len(of_layer))[:wanted])
    return found
