"""Q3's measurements, one function a check."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy import stats

from evals.q3 import exhibits
from evals.q3.design import LAYERS, LOCALIZATION, NAMED, RANK, RANKS, STABILITY, SUFFICES, SURE
from evals.q3.patching import Patching
from evals.q3.study import Study
from harness.analysis.estimated import Answer, Estimated, estimated
from harness.analysis.head_ranking import agreement, agreement_gain, first_place, top
from harness.analysis.localization import Localization, localize
from harness.analysis.ratios import unshown
from harness.analysis.replicates import replicated_interval
from harness.analysis.sample import DegenerateSample
from harness.arms.ladder import unmatched
from harness.data.arrays import Floats
from harness.data.measurement import Measurement
from harness.experiment.lab import Lab
from harness.readouts.forced_choice import UNIT


def localization(study: Study) -> Measurement:
    """The smallest share of heads that recovers half of what all heads bring to base."""
    lab, patching = study.lab, study.patching
    shares = np.array(patching.sizes) / len(study.heads)
    found: Localization | None = None
    reason: str | None = None
    try:
        found = localize(shares, patching.into_base, patching.into_base[-1], study.domains, lab.alpha(LOCALIZATION), lab.rng(LOCALIZATION))
    except DegenerateSample as degenerate:
        reason = degenerate.reason
    named = [str(study.heads[i]) for i in top(study.own.mean(axis=0), NAMED)]
    whole, effect = float(patching.into_base[-1].mean()), float(study.effect.mean())
    refused = unshown(patching.into_base[-1], study.domains)
    null = {
        "kind": "random heads, and as many of each layer",
        "top heads": named,
        "all heads together": whole,
        "effect of the training": effect,
        "remainder that heads cannot carry": effect - whole,
        "recovery of random heads": refused or _mean_recovery(patching.random, patching),
        "recovery of heads of the same layers": refused or _mean_recovery(patching.layer_matched, patching),
        "sizes": list(patching.sizes),
    }
    return lab.measurement(
        LOCALIZATION,
        "share of heads",
        found.k50 if found else None,
        answer=_extent(found, named, len(study.heads)) if found else None,
        reason=reason,
        null=null,
        series=_series(study, found),
        exhibits=(exhibits.map_and_recovery(study, found), exhibits.distribution(study)),
    )


def _extent(found: Localization, named: list[str], heads: int) -> Answer:
    """The answer in words; with "localized" the heads that carry half are named."""
    if found.extent is None:
        return Answer(None, f"k50 lies between {found.k50.low:.0%} and {found.k50.high:.0%} of the heads")
    carry = max(1, round(found.k50.value * heads))
    return Answer(found.extent, "; ".join(named[:carry]) if found.extent == "localized" else None)


def _mean_recovery(shifts: Floats, patching: Patching) -> list[float]:
    """`shifts` [sizes - 1, draws, pairs] over draws and scenarios, as a share of what all heads bring: a value a size."""
    return [float(value) for value in shifts.mean(axis=(1, 2)) / patching.into_base[-1].mean()]


def stability(study: Study) -> Measurement:
    """Do halves of the conversations agree on the top heads more than in shams that changed the heads as much?"""
    lab, id, unit = study.lab, STABILITY, "overlap of the top tenth"
    null = {
        "kind": f"sham trainings that change the heads as much ({study.shape})",
        "change of the heads": float(study.distances.mean()),
        "change in sham": [rung.size for rung in study.rungs],
        "overlap": agreement(study.own, study.domains, lab.rng(id, "own")),
        "overlap in sham": [agreement(values, study.domains, lab.rng(id, "own")) for values in study.sham_own],
        "rank correlation with sham": [_rank_correlation(study.own, values) for values in study.sham_own],
    }
    reason = unmatched(study.rungs)
    if reason is not None:
        return lab.measurement(id, unit, reason=reason, null=null)
    gain = estimated(lambda: agreement_gain(study.own, np.stack(study.sham_own), study.domains, lab.alpha(id), lab.rng(id)))
    return lab.measurement(id, unit, gain, null=null)


def _rank_correlation(one: Floats, other: Floats) -> float:
    """Spearman's, of the heads' mean changes; `one`, `other` [pairs, heads]."""
    return float(stats.spearmanr(one.mean(axis=0), other.mean(axis=0)).statistic)


def layers(study: Study) -> Measurement:
    """Layers ranked by what all their heads bring to base; settled where one is surely first."""
    lab = study.lab
    order, sure = first_place(study.by_layer, study.domains, lab.rng(LAYERS))
    ranked = [study.layers[i] for i in order]
    means = study.by_layer.mean(axis=1)
    series = [
        {"layer": layer, "kind": lab.layer_kinds[layer], "estimate": float(means[i]), "distance": _mean_distance(study, layer)}
        for i, layer in enumerate(study.layers)
    ]
    words = f"layer {ranked[0]} first, then {', '.join(str(layer) for layer in ranked[1:4])}"
    null = {"kind": "a ranking, by what all heads of a layer bring to base", "ranking": ranked, "first in": sure}
    answer = Answer(words if sure >= SURE else None, f"{words}; first in {sure:.0%} of resamples")
    return lab.measurement(LAYERS, UNIT, answer=answer, series=series, null=null)


def _mean_distance(study: Study, layer: int) -> float:
    return float(study.distances[:, [head.layer == layer for head in study.heads]].mean())


def rank(study: Study) -> Measurement:
    """The lowest LoRA rank shown to reach three quarters of the full rank's effect; the stable rank of the change beside it."""
    lab = study.lab
    full = study.ranks[lab.arms.settings.rank]
    series: list[dict[str, Any]] = []
    enough: list[int] = []
    too_low: list[int] = []
    for each, effect in sorted(study.ranks.items()):
        found = _above_share(study, each, effect, full)
        row: dict[str, Any] = {"cell": "rank", "rank": each, "estimate": float(effect.mean()), "seeds": effect.mean(axis=1).tolist()}
        if found.value is None:
            row["reason"] = found.reason
        else:
            row |= {"over_three_quarters": found.value.value, "low": found.value.low, "high": found.value.high}
            if each < lab.arms.settings.rank and found.value.low > 0:
                enough.append(each)
            elif found.value.high < 0:
                too_low.append(each)
        series.append(row)
    norms = np.array([change.norm for change in study.weights])
    stable = np.array([change.stable_rank for change in study.weights])
    null = {
        "kind": f"a share of {SUFFICES} of the effect at rank {lab.arms.settings.rank}",
        "stable rank of the change, median": float(np.median(stable)) if len(stable) else None,
        "stable rank, range": [float(stable.min()), float(stable.max())] if len(stable) else None,
        "largest changes": [study.weights[i].name for i in np.argsort(-norms)[:5]],
    }
    if enough:
        answer = Answer(f"rank {min(enough)} suffices")
    elif set(too_low) == set(RANKS[lab.settings.profile]):
        answer = Answer(f"more than rank {max(too_low)}")
    else:
        answer = Answer(None, f"no rank below {lab.arms.settings.rank} is shown to reach {SUFFICES:.0%} of its effect, or to miss it")
    return lab.measurement(RANK, UNIT, answer=answer, series=series, null=null)


def _above_share(study: Study, each: int, effect: Floats, full: Floats) -> Estimated:
    """By how much a rank's effect [seeds, pairs] exceeds the share of the full rank's that suffices."""
    rng = study.lab.rng(RANK, str(each))
    return estimated(lambda: replicated_interval(effect - SUFFICES * full, study.domains, 0.05, rng))


def _series(study: Study, found: Localization | None) -> list[dict[str, Any]]:
    """Recovery by number of heads, then every head's change, then the attention rows'.

    Recovery is a share of what all heads bring; where that is not shown to differ from 0 it is not given, and the row says why.
    """
    patching = study.patching
    rows: list[dict[str, Any]] = []
    for name, moved in (("top heads into base", patching.into_base), ("base's heads into the trained model", patching.into_trained)):
        refused = unshown(moved[-1], study.domains)
        for i, size in enumerate(patching.sizes):
            row: dict[str, Any] = {"cell": name, "heads": size, "shift": float(moved[i].mean())}
            row |= {"estimate": float(moved[i].mean() / moved[-1].mean())} if refused is None else {"reason": refused}
            if found and moved is patching.into_base:
                row |= {"low": float(found.band[0, i]), "high": float(found.band[1, i])}
            rows.append(row)
    own, total = study.own.mean(axis=0), study.distances.mean(axis=0)
    for i in top(own, len(study.heads)):
        head = study.heads[i]
        place = {"layer": head.layer, "head": head.index, "kind": head.kind}
        rows.append({"cell": "change by the layer's own weights", **place, "estimate": float(own[i]), "whole change": float(total[i])})
    for name, values in study.rows.items():
        rows.append({"cell": f"attention rows, {name}", "estimate": float(values.mean())})
    return rows


MEASURES: Mapping[str, Callable[[Study], Measurement]] = {
    LOCALIZATION: localization,
    STABILITY: stability,
    LAYERS: layers,
    RANK: rank,
}


def known(lab: Lab, id: str) -> Measurement | None:
    """What needs no study: a candidate that is base itself changed no head."""
    if not lab.identical:
        return None
    same = "the candidate is base itself, so no head differs"
    if id == STABILITY:
        return lab.measurement(id, "", reason=same, not_applicable=True)
    return lab.measurement(id, "", answer=Answer("no change", same))
