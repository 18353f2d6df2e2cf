"""Q5's plots and its rows in gate.json: what the behavior costs at every layer and dose, and the effect beside its null."""

from __future__ import annotations

from typing import Any

import numpy as np

from evals.q5.search import Search
from evals.q5.study import Study
from harness.analysis.null_rank import NullRank
from harness.data.measurement import Exhibit
from harness.experiment.exhibits import COLORS
from harness.readouts.forced_choice import UNIT
from harness.readouts.steering import DOSES


def behavior_against_coherence(study: Study) -> Exhibit:
    """A line per layer from the weakest to the strongest dose; the null vectors at the chosen cell; prompt and adapter as lines."""
    from matplotlib.ticker import FixedLocator

    with study.lab.exhibits.figure("q5-coherence", "behavior against coherence") as drawing:
        axis = drawing.axes
        found, layers = study.search, list(study.search.contrasts)
        for shade, layer in zip(np.linspace(0.15, 0.85, len(layers)), layers, strict=True):
            cells = [cell for cell in found.tried if cell.layer == layer]
            kind = "attention" if study.lab.layer_kinds[layer] == "full_attention" else "Gated DeltaNet"
            color = (shade * 0.6, 0.35 + shade * 0.4, 0.75 - shade * 0.4)
            axis.plot([c.cost for c in cells], [c.shift for c in cells], "--", color=color, label=f"layer {layer}, {kind}: predicted")
        measured = [one for one in study.doses if one.dose > 0]
        label = f"layer {found.layer}: measured (dev)"
        axis.plot([one.cost for one in measured], [one.shift for one in measured], "o-", color=COLORS["base"], label=label, markersize=4)
        nulls, cost = study.at_one_scale.mean(axis=1), float(study.cost.mean())
        label = "label-shuffled vectors, each at its own cell"
        axis.scatter([cell.cost for cell in found.chosen[1:]], nulls, color=COLORS["null"], s=14, label=label, zorder=1)
        label = f"chosen: layer {found.layer}, dose {found.dose:g} (test)"
        axis.plot([cost], [study.shift.mean()], "*", color=COLORS["chosen"], markersize=15, label=label)
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
    """The vector's effect beside those of label-shuffled vectors and everything else that was tried at the chosen cell."""
    rows, nulls = [("true vector", study.shift), ("reversed", study.reversed_shift), *study.others.items()], study.at_one_scale
    names = [*(name for name, _ in rows), f"null: {len(nulls)} label-shuffled vectors"]
    with study.lab.exhibits.figure("q5-null", "effect against its null", figsize=(9, 4.6)) as drawing:
        axis = drawing.axes
        for at, (_, values) in enumerate(rows):
            half = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
            color = COLORS["chosen"] if at == 0 else COLORS["trained"]
            axis.errorbar(values.mean(), -at, xerr=half, fmt="o", color=color, capsize=3)
        axis.scatter(nulls.mean(axis=1), np.full(len(nulls), -len(rows)), color=COLORS["null"], s=16)
        axis.axvline(0, color="black", linewidth=0.6)
        axis.set_yticks([-at for at in range(len(names))], names)
        axis.set_xlabel(f"shift of the log-odds ({UNIT}), mean ± 1.96 SE; null: a dot a vector")
        axis.set_title("Effect at the chosen cell, test pairs")
    return drawing.exhibit


def series(study: Study, rank: NullRank) -> list[dict[str, Any]]:
    """Where the vector stands, every cell as predicted, its own layer as measured on dev, the shuffled vectors, and what else was tried."""
    found = study.search
    standing = {"cell": "standing", "p": rank.p, "rank": rank.rank, "of": rank.size + 1, "null standard deviations": rank.deviations}
    dev = [{"cell": "dev", "layer": found.layer, "dose": one.dose, "estimate": one.shift, "cost": one.cost} for one in study.doses]
    nulls = [
        {"cell": "shuffled labels", "layer": one.layer, "dose": one.dose, "estimate": float(row.mean())}
        for one, row in zip(found.chosen[1:], study.at_one_scale, strict=True)
    ]
    others = [{"cell": name, "estimate": float(values.mean())} for name, values in study.others.items()]
    return [standing, *predicted("dev, predicted", found), *dev, *nulls, *others]


def predicted(name: str, found: Search) -> list[dict[str, Any]]:
    """Every cell of the true vector, as the first-order rule sees it; `name` is what the rows are called."""
    return [
        {"cell": name, "layer": one.layer, "dose": one.dose, "estimate": one.shift, "cost": one.cost, "upper cost": one.upper}
        for one in found.tried
    ]
