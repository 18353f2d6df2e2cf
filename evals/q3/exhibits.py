"""Q3's plots: where heads changed, how many carry it, how the changes are distributed."""

from __future__ import annotations

import numpy as np

from evals.q3.study import Study
from harness.analysis.localization import Localization
from harness.analysis.ratios import unshown
from harness.data.measurement import Exhibit
from harness.experiment.exhibits import COLORS
from harness.readouts.forced_choice import UNIT


def map_and_recovery(study: Study, found: Localization | None) -> Exhibit:
    """Left: what each layer's own weights changed of every head. Right: how much of what all heads bring the top ones recover."""
    means, widest = study.own.mean(axis=0), max(head.index for head in study.heads) + 1
    table = np.full((len(study.layers), widest), np.nan)
    for head, value in zip(study.heads, means, strict=True):
        table[study.layers.index(head.layer), head.index] = value
    title = "where heads changed, and how many carry it"
    with study.lab.exhibits.figure("q3-heads", title, figsize=(12, 4.6), ncols=2) as drawing:
        left, right = drawing.axes
        image = left.imshow(table, aspect="auto", cmap="viridis", origin="lower")
        kinds = ["attention" if study.lab.layer_kinds[layer] == "full_attention" else "delta" for layer in study.layers]
        left.set_yticks(range(len(study.layers)), [f"{layer} {kind}" for layer, kind in zip(study.layers, kinds, strict=True)])
        left.set_xlabel("head")
        left.set_ylabel("layer")
        left.set_title(f"{study.lab.behavior.name}: change of each head by its layer's own weights")
        drawing.figure.colorbar(image, ax=left)
        patching = study.patching
        shares = 100 * np.array(patching.sizes) / len(study.heads)
        shown = [unshown(moved[-1], study.domains) is None for moved in (patching.into_base, patching.into_trained)]
        whole = patching.into_base[-1].mean() if all(shown) else 1.0
        right.plot(shares, patching.into_base.mean(axis=1) / whole, marker="o", color=COLORS["trained"], label="most changed heads")
        if found is not None and all(shown):
            right.fill_between(shares, found.band[0], found.band[1], color=COLORS["trained"], alpha=0.15, linewidth=0)
            right.axvline(100 * found.k50.value, color=COLORS["chosen"], linestyle=":", label=f"k50: {found.k50.value:.0%} of the heads")
        nulls = ((patching.random, COLORS["null"], "random heads"), (patching.layer_matched, COLORS["sham"], "heads of the same layers"))
        for values, color, label in nulls:
            by_draw = values.mean(axis=2) / whole
            right.plot(shares[:-1], by_draw.mean(axis=1), "--", color=color, label=label)
            right.fill_between(shares[:-1], by_draw.min(axis=1), by_draw.max(axis=1), color=color, alpha=0.2, linewidth=0)
        lost = patching.into_trained.mean(axis=1) / (patching.into_trained[-1].mean() if all(shown) else 1.0)
        right.plot(shares, lost, ":", marker="x", color=COLORS["opposite"], label="base's heads put into the trained model")
        right.axhline(0.5 if all(shown) else 0, color="black", linewidth=0.6)
        right.set_xscale("log")
        right.set_xticks([1, 2, 5, 10, 20, 50, 100], ["1", "2", "5", "10", "20", "50", "100"])
        right.set_xlabel("heads patched (% of all)")
        right.set_ylabel(
            "share of what all heads recover" if all(shown) else f"shift ({UNIT}): that of all heads is not shown to differ from 0"
        )
        right.set_title("recovery (band: 95 % over scenarios; range of the draws)")
        right.legend(fontsize=8)
    return drawing.exhibit


def distribution(study: Study) -> Exhibit:
    """Mean distance of every head, trained against sham trainings that moved as far."""
    with study.lab.exhibits.figure("q3-distances", "distribution of distances", figsize=(8, 3.8)) as drawing:
        axis = drawing.axes
        everything = [study.own, *study.sham_own]
        bins = np.linspace(0, max(float(values.mean(axis=0).max()) for values in everything), 40)
        axis.hist(study.own.mean(axis=0), bins=bins, color=COLORS["trained"], alpha=0.7, label="trained")
        for i, values in enumerate(study.sham_own):
            label = "sham of the same size" if i == 0 else None
            axis.hist(values.mean(axis=0), bins=bins, histtype="step", color=COLORS["sham"], label=label)
        axis.set_xlabel("relative change of what a head says by its layer's own weights, mean over conversations")
        axis.set_ylabel("heads")
        axis.set_title(f"{study.lab.behavior.name}: distribution over the {len(study.heads)} heads")
        axis.legend(fontsize=8)
    return drawing.exhibit
