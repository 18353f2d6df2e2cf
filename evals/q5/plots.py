"""Q5's plots."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.experiment.exhibits import COLORS, figure
from harness.readouts.forced_choice import UNIT
from harness.readouts.steering import DOSES

if TYPE_CHECKING:
    from evals.q5.experiment import Study


def behavior_against_coherence(study: Study) -> Path:
    """A line per layer from the weakest to the strongest dose; the null cloud at the chosen cell; prompt and adapter as lines."""
    name = study.lab.behavior.name
    path = study.lab.exhibits / f"q5-coherence-{name}.png"
    from matplotlib.ticker import FixedLocator

    with figure(path) as (_, axis):
        layers = sorted({cell.layer for cell in study.sweep.cells})
        for shade, layer in zip(np.linspace(0.15, 0.85, len(layers)), layers, strict=True):
            cells = sorted((c for c in study.sweep.cells if c.layer == layer and c.dose > 0), key=lambda c: c.dose)
            kind = "attention" if study.lab.layer_kinds[layer] == "full_attention" else "Gated DeltaNet"
            color = (shade * 0.6, 0.35 + shade * 0.4, 0.75 - shade * 0.4)
            axis.plot([c.cost for c in cells], [c.shift for c in cells], "o-", color=color, label=f"layer {layer}, {kind}", markersize=4)
        chosen, cost = study.sweep.chosen, float(study.cost.mean())
        nulls = np.concatenate(list(study.nulls.values())).mean(axis=1)
        axis.scatter(np.full(len(nulls), cost), nulls, color=COLORS["null"], s=14, label="null vectors at the chosen cell (test)", zorder=1)
        axis.plot(
            [cost],
            [study.shift.mean()],
            "*",
            color=COLORS["chosen"],
            markersize=15,
            label=f"chosen: layer {chosen.layer}, dose {chosen.dose:g} (test)",
        )
        for other, style in (("system prompt", ":"), ("trained adapter", "--"), ("candidate", "--")):
            if other in study.others:
                axis.axhline(study.others[other].mean(), linestyle=style, color=COLORS["base"], linewidth=1, label=other)
        axis.axhline(0, color="black", linewidth=0.6)
        axis.set_xscale("symlog", linthresh=0.05)
        axis.xaxis.set_major_locator(FixedLocator([-0.5, -0.1, 0, 0.05, 0.1, 0.2, 0.5, 1, 2, 5]))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.set_xlabel("cost: change of negative log-likelihood on unrelated text (nats per token)")
        axis.set_ylabel(f"shift of the log-odds of {name}\n({UNIT})")
        axis.set_title(f"Behavior against coherence, doses {DOSES[0]:g} to {DOSES[-1]:g} along each line")
        axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return path


def effect_against_null(study: Study) -> Path:
    """The true vector's effect beside both null populations and everything else that was tried at the chosen cell."""
    path = study.lab.exhibits / f"q5-null-{study.lab.behavior.name}.png"
    rows = [("true vector", study.shift), ("reversed", study.reversed_shift), *study.others.items()]
    with figure(path, figsize=(9, 4.6)) as (_, axis):
        for at, (_name, values) in enumerate(rows):
            spread = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
            color = COLORS["chosen"] if at == 0 else COLORS["trained"]
            axis.errorbar(values.mean(), -at, xerr=spread, fmt="o", color=color, capsize=3)
        for at, (kind, nulls) in enumerate(study.nulls.items(), start=len(rows)):
            axis.scatter(nulls.mean(axis=1), np.full(len(nulls), -at), color=COLORS["null"], s=16)
            rows = [*rows, (f"null: {len(nulls)} {kind} vectors", nulls[0])]
        axis.axvline(0, color="black", linewidth=0.6)
        axis.set_yticks([-at for at in range(len(rows))], [name for name, _ in rows])
        axis.set_xlabel(f"shift of the log-odds ({UNIT}), mean ± 1.96 SE; null: a dot a vector")
        axis.set_title("Effect at the chosen cell, test pairs")
    return path
