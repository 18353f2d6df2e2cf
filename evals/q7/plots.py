"""Q7's plots."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.separation import separation
from harness.experiment.exhibits import COLORS, figure
from harness.readouts.forced_choice import UNIT

if TYPE_CHECKING:
    from evals.q7.experiment import Study

KINDS = ("base", "trained", "sham", "opposite")


def separation_by_layer(study: Study) -> Path:
    """A line an arm with the range of its adapters; the mean over layers, which is what is judged, at the right."""
    path = study.lab.exhibits / f"q7-separation-{study.lab.behavior.name}.png"
    with figure(path, figsize=(9, 4.5)) as (_, axis):
        places = np.arange(len(study.layers))
        for shift, kind in enumerate(kind for kind in KINDS if kind in study.geometries):
            by_layer = np.stack([separation(geometry.cosines[0], study.conversations.inside) for geometry in study.geometries[kind]])
            label = {"sham": "sham of the same size"}.get(kind, kind)
            axis.plot(places, by_layer.mean(axis=0), marker="o", markersize=4, color=COLORS[kind], label=label)
            axis.fill_between(places, by_layer.min(axis=0), by_layer.max(axis=0), color=COLORS[kind], alpha=0.15, linewidth=0)
            mean = by_layer.mean(axis=1)
            axis.scatter(np.full(len(mean), len(places) + 0.15 * shift), mean, s=16, color=COLORS[kind])
        axis.axvline(len(places) - 0.5, color="black", linewidth=0.5)
        axis.set_xticks([*places, len(places) + 0.2], [*(str(layer) for layer in study.layers), "mean"])
        axis.set_xlabel("Gated DeltaNet layer (right of the line: mean over layers, a dot an adapter)")
        axis.set_ylabel("mean cosine within directions\n− between directions and the rest")
        axis.axhline(0, color="black", linewidth=0.6)
        axis.set_title(f"{study.lab.behavior.name}: how far states of directions stand apart (band: range of the adapters)")
        axis.legend(fontsize=8)
    return path


def confounds(study: Study) -> Path:
    """Lengths of the three groups, half-lives and write strengths by arm: what could look like separation and is not."""
    path = study.lab.exhibits / f"q7-confounds-{study.lab.behavior.name}.png"
    with figure(path, figsize=(11, 3.6), ncols=3) as (_, (left, middle, right)):
        kinds = np.array(study.conversations.kinds)
        lengths = np.array([sum(len(m.content.split()) for m in text) for text in study.conversations.texts])
        names = ("direction", "report", "general")
        left.boxplot([lengths[kinds == kind] for kind in names], tick_labels=names)
        left.set_title("words in a conversation")
        for kind in (kind for kind in KINDS if kind in study.geometries):
            geometries = study.geometries[kind]
            half_life = np.mean([np.median(geometry.half_life, axis=1) for geometry in geometries], axis=0)
            middle.plot(half_life, marker="o", markersize=4, color=COLORS[kind], label=kind)
            right.plot(
                np.mean([geometry.beta.mean(axis=1) for geometry in geometries], axis=0), marker="o", markersize=4, color=COLORS[kind]
            )
        middle.set_title("half-life of the state (tokens, median head)")
        right.set_title("write strength β (mean)")
        for axis in (middle, right):
            axis.set_xticks(range(len(study.layers)), [str(layer) for layer in study.layers])
            axis.set_xlabel("layer")
        middle.legend(fontsize=8)
    return path


def exchange(study: Study) -> Path:
    """What base's states take from a model, and what its states bring to base; a dot an adapter."""
    path = study.lab.exhibits / f"q7-exchange-{study.lab.behavior.name}.png"
    with figure(path, figsize=(7, 3.8)) as (_, axis):
        exchanges = (("base's states put into the model", study.swaps), ("the model's states put into base", study.given))
        for place, (_title, values) in enumerate(exchanges):
            for shift, kind in enumerate(("trained", "sham")):
                by_seed = values[kind].mean(axis=1)
                axis.scatter(
                    np.full(len(by_seed), place + 0.2 * shift - 0.1), by_seed, color=COLORS[kind], label=kind if place == 0 else None
                )
        axis.set_xticks([0, 1], [title for title, _ in exchanges])
        axis.set_xlim(-0.5, 1.5)
        axis.axhline(0, color="black", linewidth=0.6)
        axis.set_ylabel(f"log-odds lost (left), gained (right)\n({UNIT})")
        axis.set_title(f"{study.lab.behavior.name}: states exchanged at the end of the user's turn")
        axis.legend(fontsize=8)
    return path
