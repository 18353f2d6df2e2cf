"""Q3's measurements, one function a check."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy import stats

from evals.q3 import exhibits
from evals.q3.design import LAYERS, LOCALIZATION, NAMED, RANK, RANKS, STABILITY, SUFFICES
from evals.q3.patching import Patching
from evals.q3.series import changed, recovered
from evals.q3.study import Study
from harness.analysis.estimated import Answer, Estimated, estimated
from harness.analysis.head_ranking import agreement, agreement_gain, first_place, top
from harness.analysis.localization import Localization, localize, moves
from harness.analysis.replicates import replicated_interval
from harness.analysis.sample import DegenerateSample
from harness.arms.ladder import unmatched
from harness.data.arrays import Floats
from harness.data.measurement import Measurement
from harness.experiment.lab import Lab
from harness.readouts.forced_choice import UNIT

HEADS = "share of heads"
"""Unit of k50."""


def localization(study: Study) -> Measurement:
    """The smallest share of heads that recovers half of what all heads bring to base; of several trainings, of their mean.

    Where all heads together are not shown to bring anything, no part of them is patched: a share of nothing has no meaning.
    """
    lab = study.lab
    named = [str(study.heads[i]) for i in top(study.own.mean(axis=(0, 1)), NAMED)]
    whole, effect = float(study.whole.mean()), float(study.effect.mean())
    null: dict[str, Any] = {
        "kind": "random heads, and as many of each layer",
        "top heads": named,
        "all heads together": whole,
        "all heads together, by training": study.whole.mean(axis=1).tolist(),
        "effect of the training": effect,
        "remainder that heads cannot carry": effect - whole,
    }
    try:
        moves(study.whole, study.domains, lab.rng(LOCALIZATION))
        patching = study.patching
        shares = np.array(patching.sizes) / len(study.heads)
        found = localize(shares, patching.into_base, patching.into_base[-1], study.domains, lab.alpha(LOCALIZATION), lab.rng(LOCALIZATION))
    except DegenerateSample as degenerate:
        shown = (exhibits.head_map(study), exhibits.distribution(study))
        return lab.measurement(LOCALIZATION, HEADS, reason=degenerate.reason, null=null, series=changed(study), exhibits=shown)
    null |= {
        "recovery of random heads": _mean_recovery(patching.random, patching),
        "recovery of heads of the same layers": _mean_recovery(patching.layer_matched, patching),
        "sizes": list(patching.sizes),
    }
    return lab.measurement(
        LOCALIZATION,
        HEADS,
        found.k50,
        answer=_extent(found, named, len(study.heads)),
        null=null,
        series=[*recovered(study), *changed(study)],
        exhibits=(exhibits.head_map(study), exhibits.recovery(study, found), exhibits.distribution(study)),
    )


def _extent(found: Localization, named: list[str], heads: int) -> Answer:
    """The answer in words; with "localized" the heads that carry half are named."""
    if found.extent is None:
        return Answer(None, f"k50 lies between {found.k50.low:.0%} and {found.k50.high:.0%} of the heads")
    carry = max(1, round(found.k50.value * heads))
    return Answer(found.extent, "; ".join(named[:carry]) if found.extent == "localized" else None)


def _mean_recovery(shifts: Floats, patching: Patching) -> list[float]:
    """`shifts` [sizes - 1, draws, pairs] over draws and scenarios, as a share of what all heads of the first subject bring: one a size."""
    return [float(value) for value in shifts.mean(axis=(1, 2)) / patching.into_base[-1, 0].mean()]


def stability(study: Study) -> Measurement:
    """Do halves of the conversations agree on the top heads more than in shams that changed the heads as much?"""
    lab, id, unit = study.lab, STABILITY, "overlap of the top tenth"
    null = {
        "kind": f"sham trainings that change the heads as much ({study.shape})",
        "change of the heads": study.distances.mean(axis=(1, 2)).tolist(),
        "change in sham": [rung.size for rung in study.rungs],
        "overlap": [agreement(values, study.domains, lab.rng(id, "own")) for values in study.own],
        "overlap in sham": [agreement(values, study.domains, lab.rng(id, "own")) for values in study.sham_own],
        "rank correlation with sham": [_rank_correlation(study.own[0], values) for values in study.sham_own],
    }
    reason = unmatched(study.rungs)
    if reason is not None:
        return lab.measurement(id, unit, reason=reason, null=null)
    gain = estimated(lambda: agreement_gain(study.own, np.stack(study.sham_own), study.domains, lab.alpha(id), lab.rng(id)))
    return lab.measurement(id, unit, gain, null=null, stepwise=True)  # sets of heads change in jumps, and seeds set the width


def _rank_correlation(one: Floats, other: Floats) -> float:
    """Spearman's, of the heads' mean changes; `one`, `other` [pairs, heads]."""
    return float(stats.spearmanr(one.mean(axis=0), other.mean(axis=0)).statistic)


def layers(study: Study) -> Measurement:
    """Layers ranked by what all their heads bring to base; settled where one is shown to be first."""
    lab = study.lab
    try:
        order, lead = first_place(study.by_layer, study.domains, lab.rng(LAYERS))
    except DegenerateSample as degenerate:
        return lab.measurement(LAYERS, UNIT, reason=degenerate.reason)
    ranked = [study.layers[i] for i in order]
    means = study.by_layer.mean(axis=(1, 2))
    series = [
        {"layer": layer, "kind": lab.layer_kinds[layer], "estimate": float(means[i]), "distance": _mean_distance(study, layer)}
        for i, layer in enumerate(study.layers)
    ]
    words = f"layer {ranked[0]} first, then {', '.join(str(layer) for layer in ranked[1:4])}"
    null = {"kind": "a ranking, by what all heads of a layer bring to base", "ranking": ranked}
    ahead = f"it leads the layer that comes closest by {lead.value:.3g} [{lead.low:.3g}, {lead.high:.3g}]"
    answer = Answer(words, ahead) if lead.low > 0 else Answer(None, f"{words}; {ahead}")
    return lab.measurement(LAYERS, UNIT, answer=answer, series=series, null=null)


def _mean_distance(study: Study, layer: int) -> float:
    return float(study.distances[..., [head.layer == layer for head in study.heads]].mean())


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
