"""Q5's plots: what the behavior costs at every layer and dose, and the effect beside its null."""

from __future__ import annotations

import numpy as np

from evals.q5.study import Study
from harness.data.measurement import Exhibit
from harness.experiment.exhibits import COLORS
from harness.readouts.forced_choice import UNIT
from harness.readouts.steering import DOSES


def behavior_against_coherence(study: Study) -> Exhibit:
    """A line per layer from the weakest to the strongest dose; the null vectors at the chosen cell; prompt and adapter as lines."""
    from matplotlib.ticker import FixedLocator

    with study.lab.exhibits.figure("q5-coherence", "behavior against coherence") as drawing:
        axis = drawing.axes
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
        axis.set_ylabel(f"shift of the log-odds of {study.lab.behavior.name}\n({UNIT})")
        axis.set_title(f"Behavior against coherence, doses {DOSES[0]:g} to {DOSES[-1]:g} along each line")
        axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return drawing.exhibit


def effect_against_null(study: Study) -> Exhibit:
    """The vector's effect beside both null populations and everything else that was tried at the chosen cell."""
    rows = [("true vector", study.shift), ("reversed", study.reversed_shift), *study.others.items()]
    names = [*(name for name, _ in rows), *(f"null: {len(nulls)} {kind} vectors" for kind, nulls in study.nulls.items())]
    with study.lab.exhibits.figure("q5-null", "effect against its null", figsize=(9, 4.6)) as drawing:
        axis = drawing.axes
        for at, (_, values) in enumerate(rows):
            half = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
            color = COLORS["chosen"] if at == 0 else COLORS["trained"]
            axis.errorbar(values.mean(), -at, xerr=half, fmt="o", color=color, capsize=3)
        for at, nulls in enumerate(study.nulls.values(), start=len(rows)):
            axis.scatter(nulls.mean(axis=1), np.full(len(nulls), -at), color=COLORS["null"], s=16)
        axis.axvline(0, color="black", linewidth=0.6)
        axis.set_yticks([-at for at in range(len(names))], names)
        axis.set_xlabel(f"shift of the log-odds ({UNIT}), mean ± 1.96 SE; null: a dot a vector")
        axis.set_title("Effect at the chosen cell, test pairs")
    return drawing.exhibit
