"""Q3's measurements: distances by head, patching, agreement of halves, layers, rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evals.q3 import plots
from harness.analysis.divergence import euclidean, jensen_shannon
from harness.analysis.folds import folds_by_cluster
from harness.analysis.head_ranking import agreement, agreement_gain, first_place, top
from harness.analysis.localization import Localization, localize
from harness.analysis.replicates import replicated_interval
from harness.analysis.sample import DegenerateSample
from harness.data.behavior import Pair
from harness.data.measurement import Exhibit, Measurement
from harness.data.subject import Subject
from harness.engines.protocol import Completion, HeadSet, Recorded, Sites
from harness.forced_choice import PRIMARY, UNIT
from harness.lab import Lab, domains_of, spread
from harness.ladder import Rung, in_shape_of, ladders, sham_sized, unmatched
from harness.weight_change import MatrixChange, weight_changes

Floats = NDArray[np.float64]
CONVERSATIONS = 40
SHARES = (0.03, 0.05, 0.1, 0.2, 0.35, 0.6)
"""Shares of all heads that are patched, beside one head and all of them."""
DRAWS = 2
"""Random sets, and as many drawn layer by layer alike, for each share."""
RANKS = {"quick": (1, 2), "full": (1, 2, 4)}
"""Ranks trained beside the full one."""
SUFFICES = 0.75
"""A rank suffices where it is shown to reach this share of the full rank's effect."""
SURE = 0.95
"""Share of resamples in which the first layer must be first for the ranking to be called settled."""
LADDER_SEEDS = 5


@dataclass(frozen=True, order=True)
class Head:
    layer: int
    index: int
    kind: str
    """"full_attention" or "linear_attention"."""

    def __str__(self) -> str:
        return f"layer {self.layer} head {self.index} ({'attention' if self.kind == 'full_attention' else 'Gated DeltaNet'})"


@dataclass(frozen=True)
class Patching:
    """Shifts of the log-odds, every scenario patched with the heads ranked on the other half, in units of the primary metric."""

    sizes: tuple[int, ...]
    """Numbers of heads; the last is all of them."""
    into_base: Floats  # [sizes, pairs], trained heads put into base
    random: Floats  # [sizes - 1, draws, pairs]
    alike: Floats  # [sizes - 1, draws, pairs], as many heads of each layer as the top ones
    into_trained: Floats  # [sizes, pairs], base's heads put into the trained model (as a loss, so positive where the behavior falls)


@dataclass(frozen=True)
class Study:
    lab: Lab
    subject: Subject
    pairs: tuple[Pair, ...]
    heads: tuple[Head, ...]
    distances: Floats  # [pairs, heads], relative change of what a head says
    own: Floats  # [pairs, heads], the same where every layer gets base's residual stream: what the layer's own weights changed
    rows: Mapping[str, Floats]
    """Distances of attention rows, [pairs, attention heads], each with and without the sink column."""
    effect: Floats  # [pairs], trained minus base
    patching: Patching
    by_layer: Floats  # [layers, pairs], all heads of one layer put into base
    layers: tuple[int, ...]
    rungs: Sequence[Rung]
    sham_own: Sequence[Floats]
    weights: Sequence[MatrixChange]
    ranks: Mapping[int, Floats]
    """Trained minus sham at each rank, [seeds, pairs]."""
    shape: str


def run(lab: Lab) -> Study:
    """Record, rank, patch; everything is kept in the store."""
    pairs = spread(lab.pairs("test"), CONVERSATIONS)
    subject = lab.candidate or lab.trained_arm().subject
    lab.progress(f"q3 {lab.behavior.name}: heads in {len(pairs)} conversations")
    before, after = _recorded(lab, lab.base, pairs), _recorded(lab, subject, pairs)
    heads = _heads_of(lab, before[0])
    distances = _distances(before, after, heads)
    own = _distances(before, _recorded(lab, subject, pairs, own=True), heads)
    effect = lab.shift(subject, pairs).metric(PRIMARY)
    lab.progress(f"q3 {lab.behavior.name}: patching")
    patching = _patch(lab, subject, pairs, heads, own)
    layers = tuple(sorted({head.layer for head in heads}))
    plain = lab.recordings.forced_choice(lab.base, pairs)
    sets = [_as_set([head for head in heads if head.layer == layer]) for layer in layers]
    by_layer = np.stack([choice.above(plain).metric(PRIMARY) for choice in lab.recordings.patched(lab.base, subject, pairs, sets)])
    maker, shape = in_shape_of(lab.arms, lab.candidate)
    seeds = tuple(range(lab.settings.seed, lab.settings.seed + max(LADDER_SEEDS, lab.sizes.seeds)))
    lab.progress(f"q3 {lab.behavior.name}: the sham ladder")
    ladder = ladders(maker, seeds)
    cached: dict[str, Floats] = {}

    def sham(one: Subject) -> Floats:
        if one.digest not in cached:
            cached[one.digest] = _distances(before, _recorded(lab, one, pairs), heads)
        return cached[one.digest]

    wanted = float(distances.mean())
    rungs = [sham_sized(ladder[seed], wanted, lambda one: float(sham(one).mean())) for seed in seeds[: lab.sizes.seeds]]
    lab.progress(f"q3 {lab.behavior.name}: ranks")
    sham_own = [_distances(before, _recorded(lab, rung.arm.subject, pairs, own=True), heads) for rung in rungs]
    return Study(
        lab, subject, pairs, heads, distances, own, _rows(before, after), effect, patching, by_layer, layers, rungs, sham_own,
        weight_changes(lab.base, subject), _rank_sweep(lab, pairs), shape,
    )  # fmt: skip


def no_change(lab: Lab) -> dict[str, Measurement]:
    """Of a candidate that is base itself."""
    same = "the candidate is base itself, so no head differs"
    found = {id: lab.measurement(id, "", answer="no change", reason=same) for id in ("q3.localization", "q3.layers", "q3.rank")}
    return found | {"q3.stability": lab.measurement("q3.stability", "", reason=same, not_applicable=True)}


def _recorded(lab: Lab, subject: Subject, pairs: Sequence[Pair], own: bool = False) -> list[Recorded]:
    completions = [Completion(pair.messages, pair.positive) for pair in pairs]
    sites = Sites(attention="full_attention" in lab.layer_kinds and not own, heads=True, reply=True)
    return lab.recordings.recorded(subject, completions, sites, lab.base if own else None)


def _heads_of(lab: Lab, one: Recorded) -> tuple[Head, ...]:
    return tuple(Head(layer, i, lab.layer_kinds[layer]) for layer in sorted(one.heads) for i in range(one.heads[layer].shape[1]))


def _distances(before: Sequence[Recorded], after: Sequence[Recorded], heads: Sequence[Head]) -> Floats:
    """|o' - o| / |o| of every head, averaged over the tokens that predict the reply: [conversations, heads]."""
    layers = sorted({head.layer for head in heads})

    def of(old: Recorded, new: Recorded) -> Floats:
        parts = []
        for layer in layers:
            was, now = (np.asarray(one.heads[layer], dtype=np.float64) for one in (old, new))  # [tokens, heads, width]
            parts.append((np.linalg.norm(now - was, axis=-1) / np.maximum(np.linalg.norm(was, axis=-1), 1e-12)).mean(axis=0))
        return np.concatenate(parts)

    return np.stack([of(old, new) for old, new in zip(before, after, strict=True)])


def _rows(before: Sequence[Recorded], after: Sequence[Recorded]) -> dict[str, Floats]:
    """Distances of attention rows over matched tokens, with the first (sink) column and without: [conversations, attention heads]."""
    found: dict[str, list[Floats]] = {}
    for old, new in zip(before, after, strict=True):
        if old.attention is None or new.attention is None:
            return {}
        was, now = (np.asarray(one.attention, dtype=np.float64) for one in (old, new))  # [layers, heads, rows, keys]
        sink = np.ones(was.shape[-1], dtype=bool)
        sink[0] = False
        for name, mask in (("", None), (", without the sink", sink)):
            found.setdefault(f"Jensen–Shannon{name}", []).append(jensen_shannon(now, was, mask).mean(axis=-1).ravel())
            found.setdefault(f"L2{name}", []).append(euclidean(now, was, mask, length_normalized=True).mean(axis=-1).ravel())
    return {name: np.stack(values) for name, values in found.items()}


def _as_set(heads: Sequence[Head]) -> HeadSet:
    chosen: dict[int, list[int]] = {}
    for head in heads:
        chosen.setdefault(head.layer, []).append(head.index)
    return {layer: tuple(sorted(indices)) for layer, indices in sorted(chosen.items())}


def _patch(lab: Lab, subject: Subject, pairs: tuple[Pair, ...], heads: tuple[Head, ...], distances: Floats) -> Patching:
    """Each half of the domains is patched with the heads ranked on the other."""
    count = len(heads)
    sizes = tuple(sorted({1, *(max(1, round(share * count)) for share in SHARES), count}))
    folds = folds_by_cluster(domains_of(pairs), 2, lab.rng("q3", "halves"))
    into_base, into_trained = np.zeros((len(sizes), len(pairs))), np.zeros((len(sizes), len(pairs)))
    random, alike = (np.zeros((len(sizes) - 1, DRAWS, len(pairs))) for _ in range(2))
    rng = lab.rng("q3", "random heads")
    drawn = [[rng.permutation(count) for _ in range(DRAWS)] for _ in range(2)]
    for fold in range(2):
        here = folds == fold
        part = tuple(pair for pair, chosen in zip(pairs, here, strict=True) if chosen)
        order = top(distances[~here].mean(axis=0), count)
        ranked = [heads[i] for i in order]
        sets = [_as_set(ranked[:size]) for size in sizes]
        nulls = [_as_set([heads[i] for i in drawn[fold][d][:size]]) for size in sizes[:-1] for d in range(DRAWS)]
        matched = [_as_set(_layer_matched(ranked[:size], heads, rng)) for size in sizes[:-1] for _ in range(DRAWS)]
        plain = {name: lab.recordings.forced_choice(one, part).metric(PRIMARY) for name, one in (("base", lab.base), ("trained", subject))}
        patched = [choice.metric(PRIMARY) for choice in lab.recordings.patched(lab.base, subject, part, [*sets, *nulls, *matched])]
        shifts = np.stack(patched) - plain["base"]
        into_base[:, here] = shifts[: len(sizes)]
        random[:, :, here] = shifts[len(sizes) : len(sizes) + len(nulls)].reshape(len(sizes) - 1, DRAWS, -1)
        alike[:, :, here] = shifts[len(sizes) + len(nulls) :].reshape(len(sizes) - 1, DRAWS, -1)
        undone = [choice.metric(PRIMARY) for choice in lab.recordings.patched(subject, lab.base, part, sets)]
        into_trained[:, here] = plain["trained"] - np.stack(undone)
    return Patching(sizes, into_base, random, alike, into_trained)


def _layer_matched(chosen: Sequence[Head], heads: Sequence[Head], rng: np.random.Generator) -> list[Head]:
    """As many heads of each layer, drawn at random."""
    found: list[Head] = []
    for layer in sorted({head.layer for head in chosen}):
        of_layer = [head for head in heads if head.layer == layer]
        wanted = sum(head.layer == layer for head in chosen)
        found.extend(of_layer[int(i)] for i in rng.permutation(len(of_layer))[:wanted])
    return found


def _rank_sweep(lab: Lab, pairs: tuple[Pair, ...]) -> dict[int, Floats]:
    """Trained minus sham at each rank, the suite's own trainings on the stream of the most examples."""
    last, own = lab.doses[-1], lab.arms.settings
    effects = {}
    for rank in (*RANKS[lab.settings.profile], own.rank):
        scale = own.alpha / own.rank
        maker = replace(lab.arms, settings=replace(own, rank=rank, alpha=round(scale * rank))) if rank != own.rank else lab.arms
        doses = lab.doses if rank == own.rank else (last,)
        shifts = [
            lab.shift(maker.stream("trained", seed, doses)[last].subject, pairs).metric(PRIMARY)
            - lab.shift(maker.stream("sham", seed, doses)[last].subject, pairs).metric(PRIMARY)
            for seed in lab.seeds
        ]
        effects[rank] = np.stack(shifts)
    return effects


def measurements(study: Study) -> dict[str, Measurement]:
    """Everything Q3 hands to the gate, by id."""
    found = (_localization(study), _stability(study), _layers(study), _rank(study))
    return {measurement.id: measurement for measurement in found}


def _localization(study: Study) -> Measurement:
    lab, id, patching = study.lab, "q3.localization", study.patching
    shares = np.array(patching.sizes) / len(study.heads)
    domains = domains_of(study.pairs)
    found: Localization | None = None
    reason = None
    try:
        found = localize(shares, patching.into_base, patching.into_base[-1], domains, lab.alpha(id), lab.rng(id))
    except DegenerateSample as error:
        reason = error.reason
    answer: str | None = found.extent if found else None
    named = [study.heads[i] for i in top(study.own.mean(axis=0), 10)]
    if found and answer is None:
        answer, reason = "inconclusive", f"k50 lies between {found.k50.low:.0%} and {found.k50.high:.0%} of the heads"
    elif answer == "localized":
        carry = max(1, round(found.k50.value * len(study.heads))) if found else 1
        reason = "; ".join(str(head) for head in named[:carry])
    whole, effect = float(patching.into_base[-1].mean()), float(study.effect.mean())
    null = {
        "kind": "random heads, and as many of each layer",
        "top heads": [str(head) for head in named],
        "all heads together": whole,
        "effect of the training": effect,
        "remainder that heads cannot carry": effect - whole,
        "recovery of random heads": _mean_recovery(patching.random, patching),
        "recovery of heads of the same layers": _mean_recovery(patching.alike, patching),
        "sizes": list(patching.sizes),
    }
    exhibits = (
        Exhibit("where heads changed, and how many carry it", plots.map_and_recovery(study, found)),
        Exhibit("distribution of distances", plots.distances(study)),
    )
    k50, series = found.k50 if found else None, _series(study, found)
    return lab.measurement(id, "share of heads", k50, answer=answer, reason=reason, null=null, series=series, exhibits=exhibits)


def _mean_recovery(shifts: Floats, patching: Patching) -> list[float]:
    """Over draws and scenarios, for every size but the last."""
    return [float(value) for value in shifts.mean(axis=(1, 2)) / patching.into_base[-1].mean()]


def _stability(study: Study) -> Measurement:
    lab, id = study.lab, "q3.stability"
    unit, domains = "overlap of the top tenth", domains_of(study.pairs)
    null = {
        "kind": f"sham trainings that change the heads as much ({study.shape})",
        "change of the heads": float(study.distances.mean()),
        "change in sham": [rung.size for rung in study.rungs],
        "overlap": agreement(study.own, domains, lab.rng(id, "own")),
        "overlap in sham": [agreement(values, domains, lab.rng(id, "own")) for values in study.sham_own],
        "rank correlation with sham": [_rank_correlation(study.own, values) for values in study.sham_own],
    }
    reason = unmatched(study.rungs)
    if reason is not None:
        return lab.measurement(id, unit, reason=reason, null=null)
    try:
        estimate = agreement_gain(study.own, np.stack(study.sham_own), domains, lab.alpha(id), lab.rng(id))
    except DegenerateSample as error:
        return lab.measurement(id, unit, reason=error.reason, null=null)
    return lab.measurement(id, unit, estimate, null=null)


def _rank_correlation(one: Floats, other: Floats) -> float:
    from scipy import stats

    return float(stats.spearmanr(one.mean(axis=0), other.mean(axis=0)).statistic)


def _layers(study: Study) -> Measurement:
    lab, id = study.lab, "q3.layers"
    order, sure = first_place(study.by_layer, domains_of(study.pairs), lab.rng(id))
    ranked = [study.layers[i] for i in order]
    means = study.by_layer.mean(axis=1)
    series = [
        {"layer": layer, "kind": lab.layer_kinds[layer], "estimate": float(means[i]), "distance": _mean_distance(study, layer)}
        for i, layer in enumerate(study.layers)
    ]
    words = f"layer {ranked[0]} first, then {', '.join(str(layer) for layer in ranked[1:4])}"
    null = {"kind": "a ranking, by what all heads of a layer bring to base", "ranking": ranked, "first in": sure}
    answer = words if sure >= SURE else "inconclusive"
    return lab.measurement(id, UNIT, answer=answer, reason=f"{words}; first in {sure:.0%} of resamples", series=series, null=null)


def _mean_distance(study: Study, layer: int) -> float:
    return float(study.distances[:, [head.layer == layer for head in study.heads]].mean())


def _rank(study: Study) -> Measurement:
    lab, id = study.lab, "q3.rank"
    domains, full = domains_of(study.pairs), study.ranks[lab.arms.settings.rank]
    series: list[dict[str, Any]] = []
    enough: list[int] = []
    too_low: list[int] = []
    for rank, effect in sorted(study.ranks.items()):
        row: dict[str, Any] = {"cell": "rank", "rank": rank, "estimate": float(effect.mean()), "seeds": effect.mean(axis=1).tolist()}
        try:
            estimate = replicated_interval(effect - SUFFICES * full, domains, 0.05, lab.rng(id, str(rank)))
            row |= {"over_three_quarters": estimate.value, "low": estimate.low, "high": estimate.high}
            if rank < lab.arms.settings.rank and estimate.low > 0:
                enough.append(rank)
            elif estimate.high < 0:
                too_low.append(rank)
        except DegenerateSample as error:
            row["reason"] = error.reason
        series.append(row)
    ranks = np.array([change.stable_rank for change in study.weights])
    norms = np.array([change.norm for change in study.weights])
    null = {
        "kind": f"a share of {SUFFICES} of the effect at rank {lab.arms.settings.rank}",
        "stable rank of the change, median": float(np.median(ranks)) if len(ranks) else None,
        "stable rank, range": [float(ranks.min()), float(ranks.max())] if len(ranks) else None,
        "largest changes": [study.weights[i].name for i in np.argsort(-norms)[:5]],
    }
    answer: str | None = None
    reason: str | None = f"no rank below {lab.arms.settings.rank} is shown to reach {SUFFICES:.0%} of its effect, or to miss it"
    if enough:
        answer, reason = f"rank {min(enough)} suffices", None
    elif set(too_low) == set(RANKS[lab.settings.profile]):
        answer, reason = f"more than rank {max(too_low)}", None
    return lab.measurement(id, UNIT, answer=answer, reason=reason, series=series, null=null)


def _series(study: Study, found: Localization | None) -> list[dict[str, Any]]:
    patching, whole = study.patching, float(study.patching.into_base[-1].mean())
    rows: list[dict[str, Any]] = []
    for i, size in enumerate(patching.sizes):
        row: dict[str, Any] = {"cell": "top heads into base", "heads": size, "estimate": float(patching.into_base[i].mean()) / whole}
        if found:
            row |= {"low": float(found.band[0, i]), "high": float(found.band[1, i])}
        rows.append(row)
        lost = float(patching.into_trained[i].mean()) / float(patching.into_trained[-1].mean())
        rows.append({"cell": "base's heads into the trained model", "heads": size, "estimate": lost})
    own, total = study.own.mean(axis=0), study.distances.mean(axis=0)
    for i in top(own, len(study.heads)):
        head = study.heads[i]
        place = {"layer": head.layer, "head": head.index, "kind": head.kind}
        rows.append({"cell": "change by the layer's own weights", **place, "estimate": float(own[i]), "whole change": float(total[i])})
    for name, values in study.rows.items():
        rows.append({"cell": f"attention rows, {name}", "estimate": float(values.mean())})
    return rows
