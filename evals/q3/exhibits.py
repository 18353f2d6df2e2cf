"""Q3's plots: where heads changed, how many carry it where anything is carried, how the changes are distributed."""

from __future__ import annotations

import numpy as np

from evals.q3.study import Study
from harness.analysis.localization import Localization
from harness.data.measurement import Exhibit
from harness.experiment.exhibits import COLORS


def head_map(study: Study) -> Exhibit:
    """What each layer's own weights changed of every head, the mean over the subjects."""
    means, widest = study.own.mean(axis=(0, 1)), max(head.index for head in study.heads) + 1
    table = np.full((len(study.layers), widest), np.nan)
    for head, value in zip(study.heads, means, strict=True):
        table[study.layers.index(head.layer), head.index] = value
    with study.lab.exhibits.figure("q3-heads", "where heads changed", figsize=(7, 4.6)) as drawing:
        axis = drawing.axes
        image = axis.imshow(table, aspect="auto", cmap="viridis", origin="lower")
        kinds = ["attention" if study.lab.layer_kinds[layer] == "full_attention" else "delta" for layer in study.layers]
        axis.set_yticks(range(len(study.layers)), [f"{layer} {kind}" for layer, kind in zip(study.layers, kinds, strict=True)])
        axis.set_xlabel("head")
        axis.set_ylabel("layer")
        axis.set_title(f"{study.lab.behavior.name}: change of each head by its layer's own weights")
        drawing.figure.colorbar(image, ax=axis)
    return drawing.exhibit


def recovery(study: Study, found: Localization) -> Exhibit:
    """How much of what all heads bring the top ones recover; thin lines are single trainings."""
    patching = study.patching
    shares, whole = 100 * np.array(patching.sizes) / len(study.heads), float(patching.into_base[-1].mean())
    with study.lab.exhibits.figure("q3-recovery", "how many heads carry it", figsize=(7, 4.6)) as drawing:
        axis = drawing.axes
        for one in patching.into_base.mean(axis=2).T / whole:
            axis.plot(shares, one, color=COLORS["trained"], linewidth=0.6, alpha=0.6)
        axis.plot(shares, found.recovery, marker="o", color=COLORS["trained"], label="most changed heads")
        axis.axvspan(100 * found.k50.low, 100 * found.k50.high, color=COLORS["chosen"], alpha=0.12, linewidth=0)
        axis.axvline(100 * found.k50.value, color=COLORS["chosen"], linestyle=":", label=f"k50: {found.k50.value:.0%} of the heads")
        nulls = ((patching.random, COLORS["null"], "random heads"), (patching.layer_matched, COLORS["sham"], "heads of the same layers"))
        for values, color, label in nulls:
            by_draw = values.mean(axis=2) / float(patching.into_base[-1, 0].mean())
            axis.plot(shares[:-1], by_draw.mean(axis=1), "--", color=color, label=label)
            axis.fill_between(shares[:-1], by_draw.min(axis=1), by_draw.max(axis=1), color=color, alpha=0.2, linewidth=0)
        lost = patching.into_trained.mean(axis=1) / patching.into_trained[-1].mean()
        axis.plot(shares, lost, ":", marker="x", color=COLORS["opposite"], label="base's heads put into the trained model")
        axis.axhline(0.5, color="black", linewidth=0.6)
        axis.set_xscale("log")
        axis.set_xticks([1, 2, 5, 10, 20, 50, 100], ["1", "2", "5", "10", "20", "50", "100"])
        axis.set_xlabel("heads patched (% of all)")
        axis.set_ylabel("share of what all heads recover")
        axis.set_title("recovery (shaded: 95 % of k50, and the range of the draws)")
        axis.legend(fontsize=8)
    return drawing.exhibit


def distribution(study: Study) -> Exhibit:
    """Mean distance of every head, trained against sham trainings that moved as far."""
    with study.lab.exhibits.figure("q3-distances", "distribution of distances", figsize=(8, 3.8)) as drawing:
        axis = drawing.axes
        everything = [*study.own, *study.sham_own]
        bins = np.linspace(0, max(float(values.mean(axis=0).max()) for values in everything), 40)
        axis.hist(study.own.mean(axis=(0, 1)), bins=bins, color=COLORS["trained"], alpha=0.7, label="trained")
        for i, values in enumerate(study.sham_own):
            label = "sham of the same size" if i == 0 else None
            axis.hist(values.mean(axis=0), bins=bins, histtype="step", color=COLORS["sham"], label=label)
        axis.set_xlabel("relative change of what a head says by its layer's own weights, mean over conversations")
        axis.set_ylabel("heads")
        axis.set_title(f"{study.lab.behavior.name}: distribution over the {len(study.heads)} heads")
        axis.legend(fontsize=8)
    return drawing.exhibit
