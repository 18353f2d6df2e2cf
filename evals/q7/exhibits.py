"""Q7's plots: separation by layer, what could look like separation and is not, and state patching."""

from __future__ import annotations

import numpy as np

from evals.q7.groups import Group
from evals.q7.study import Study
from harness.analysis.separation import separation
from harness.data.measurement import Exhibit
from harness.experiment.exhibits import COLORS
from harness.readouts.forced_choice import UNIT


def _drawn(study: Study) -> list[Group]:
    """Every kind there is, in the order in which it is drawn."""
    return sorted(study.groups.values(), key=lambda group: ("base", "trained", "sham", "opposite").index(group.kind))


def separation_by_layer(study: Study) -> Exhibit:
    """A line an arm with the range of its adapters; the mean over layers, which is what is judged, at the right."""
    layers = study.space.layers
    with study.lab.exhibits.figure("q7-separation", "separation by layer", figsize=(9, 4.5)) as drawing:
        axis, places = drawing.axes, np.arange(len(layers))
        for shift, group in enumerate(_drawn(study)):
            by_layer = np.stack([separation(geometry.cosines[0], study.conversations.inside) for geometry in group.geometries])
            color, label = COLORS[group.kind], "sham of the same size" if group.kind == "sham" else group.kind
            axis.plot(places, by_layer.mean(axis=0), marker="o", markersize=4, color=color, label=label)
            axis.fill_between(places, by_layer.min(axis=0), by_layer.max(axis=0), color=color, alpha=0.15, linewidth=0)
            mean = by_layer.mean(axis=1)
            axis.scatter(np.full(len(mean), len(places) + 0.15 * shift), mean, s=16, color=color)
        axis.axvline(len(places) - 0.5, color="black", linewidth=0.5)
        axis.set_xticks([*places, len(places) + 0.2], [*(str(layer) for layer in layers), "mean"])
        axis.set_xlabel("Gated DeltaNet layer (right of the line: mean over layers, a dot an adapter)")
        axis.set_ylabel("mean cosine within directions\n− between directions and the rest")
        axis.axhline(0, color="black", linewidth=0.6)
        axis.set_title(f"{study.lab.behavior.name}: how far states of directions stand apart (band: range of the adapters)")
        axis.legend(fontsize=8)
    return drawing.exhibit


def confounds(study: Study) -> Exhibit:
    """Lengths of the three groups of conversations, half-lives and write strengths by arm."""
    layers = study.space.layers
    with study.lab.exhibits.figure("q7-confounds", "confounds", figsize=(11, 3.6), ncols=3) as drawing:
        left, middle, right = drawing.axes
        kinds = np.array(study.conversations.kinds)
        lengths = np.array([sum(len(m.content.split()) for m in text) for text in study.conversations.texts])
        names = ("direction", "report", "general")
        left.boxplot([lengths[kinds == kind] for kind in names], tick_labels=names)
        left.set_title("words in a conversation")
        for group in _drawn(study):
            half_life = np.mean([np.median(geometry.half_life, axis=1) for geometry in group.geometries], axis=0)
            beta = np.mean([geometry.beta.mean(axis=1) for geometry in group.geometries], axis=0)
            middle.plot(half_life, marker="o", markersize=4, color=COLORS[group.kind], label=group.kind)
            right.plot(beta, marker="o", markersize=4, color=COLORS[group.kind])
        middle.set_title("half-life of the state (tokens, median head)")
        right.set_title("write strength β (mean)")
        for axis in (middle, right):
            axis.set_xticks(range(len(layers)), [str(layer) for layer in layers])
            axis.set_xlabel("layer")
        middle.legend(fontsize=8)
    return drawing.exhibit


def patching(study: Study) -> Exhibit:
    """What base's states take from a model, and what its states bring to base; a dot an adapter."""
    with study.lab.exhibits.figure("q7-patching", "state patching", figsize=(7, 3.8)) as drawing:
        axis = drawing.axes
        for shift, group in enumerate((study.trained, study.sham)):
            for place, values in enumerate((group.taken, group.brought)):
                by_seed = values.mean(axis=1)
                at = np.full(len(by_seed), place + 0.2 * shift - 0.1)
                axis.scatter(at, by_seed, color=COLORS[group.kind], label=group.kind if place == 0 else None)
        axis.set_xticks([0, 1], ["base's states put into the model", "the model's states put into base"])
        axis.set_xlim(-0.5, 1.5)
        axis.axhline(0, color="black", linewidth=0.6)
        axis.set_ylabel(f"log-odds lost (left), gained (right)\n({UNIT})")
        axis.set_title(f"{study.lab.behavior.name}: states patched at the end of the user's turn")
        axis.legend(fontsize=8)
    return drawing.exhibit
