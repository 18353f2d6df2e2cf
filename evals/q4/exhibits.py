"""Q4's plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.auc import auc
from harness.analysis.control_chart import Chart
from harness.data.arrays import Flags, Floats, Names
from harness.experiment.exhibits import COLORS, figure
from harness.readouts.forced_choice import UNIT

if TYPE_CHECKING:
    from evals.q4.experiment import Study
    from harness.experiment.lab import Lab


def surfacing(study: Study, scores: Mapping[int, Floats], names: Sequence[str]) -> Path:
    """Left: AUC of the pattern and of every placebo by dose. Right: the ROC curve of the pattern at each dose."""
    path = study.lab.exhibits / f"q4-surfacing-{study.lab.behavior.name}.png"
    doses = [dose for dose in scores if dose]
    with figure(path, figsize=(10, 4.4), ncols=2) as (_, (left, right)):
        for i, name in enumerate(names):
            areas = [auc(scores[dose][i], scores[0][i]) for dose in doses]
            label = name if i == 0 else "placebo patterns" if i == 1 else None
            style = {"color": COLORS["chosen"], "linewidth": 2.5, "zorder": 3} if i == 0 else {"color": COLORS["null"]}
            left.plot(doses, areas, "o-", markersize=4, label=label, **style)
        left.axhline(0.5, color="black", linewidth=0.6)
        left.set_xscale("log", base=2)
        left.set_xticks(doses, [str(dose) for dose in doses])
        left.set_xlabel("counter-examples")
        left.set_ylabel("AUC, degraded against healthy replies")
        left.legend(fontsize=8)
        for shade, dose in zip(np.linspace(0.35, 1, len(doses)), doses, strict=True):
            cuts = np.sort(np.concatenate([scores[dose][0], scores[0][0]]))[::-1]
            found = [float((scores[dose][0] >= cut).mean()) for cut in cuts]
            false = [float((scores[0][0] >= cut).mean()) for cut in cuts]
            right.plot([0, *false], [0, *found], color=COLORS["opposite"], alpha=shade, label=f"{dose} counter-examples")
        right.plot([0, 1], [0, 1], color="black", linewidth=0.6)
        right.set_xlabel("share of healthy replies above the cut")
        right.set_ylabel("share of degraded replies above it")
        right.legend(fontsize=8)
    return path


def flags_by_dose(study: Study, degraded: Mapping[int, Flags], sham: Mapping[int, Flags]) -> Path:
    """Share of scenarios flagged after counter-examples and after as much neutral training, ± 1.96 SE."""
    path = study.lab.exhibits / f"q4-flags-{study.lab.behavior.name}.png"
    with figure(path, figsize=(7, 4)) as (_, axis):
        for name, rows, color in (("counter-examples", degraded, "opposite"), ("sham", {0: degraded[0], **sham}, "sham")):
            shares = np.array([flags.mean() for flags in rows.values()])
            errors = 1.96 * np.sqrt(shares * (1 - shares) / len(degraded[0]))
            axis.errorbar(list(rows), shares, yerr=errors, fmt="o-", capsize=3, color=COLORS[color], label=name)
        axis.set_ylim(0, 1)
        axis.set_xlabel("examples after the healthy adapter")
        axis.set_ylabel("share of test scenarios flagged")
        axis.set_title(f"{study.lab.behavior.name}: flags of training-signal (± 1.96 SE)")
        axis.legend()
    return path


def control_chart(study: Study, chart: Chart, values: Sequence[float], clean: int) -> Path:
    """S by simulated cycle, with the limit and the planted change."""
    path = study.lab.exhibits / f"q4-chart-{study.lab.behavior.name}.png"
    cycles = np.arange(1, len(values) + 1)
    with figure(path, figsize=(7, 4)) as (_, axis):
        axis.plot(cycles, values, "o-", color=COLORS["trained"], label="S")
        axis.axhline(chart.limit, color=COLORS["opposite"], linestyle="--", label=f"limit {chart.limit:g}")
        axis.axvline(clean + 0.5, color=COLORS["chosen"], linestyle=":", label="planted degradation")
        axis.set_xticks(cycles)
        axis.set_xlabel("simulated cycle")
        axis.set_ylabel("CUSUM of flags (nats)")
        axis.set_title(f"{study.lab.behavior.name}: p0 {chart.p0:.2f}, tuned to {chart.p1:.2f}")
        axis.legend(fontsize=8)
    return path


def rates_by_domain(lab: Lab, before: Floats, after: Floats, domains: Names, against: str) -> Path:
    """Share of replies labeled positive by domain, before and after, the largest fall first; below all of them together."""
    path = lab.exhibits / f"q4-judged-rate-{lab.behavior.name}.png"
    names = sorted(dict.fromkeys(domains.tolist()), key=lambda name: float((after - before)[domains == name].mean()))
    rows = [*((name, domains == name) for name in names), ("all", np.full(len(domains), True))]
    with figure(path, figsize=(8, 0.24 * len(rows) + 1.4)) as (_, axis):
        for place, (_name, here) in enumerate(rows):
            old, new = float(before[here].mean()), float(after[here].mean())
            color = COLORS["trained" if new >= old else "opposite"]
            axis.plot([old, new], [-place, -place], color=color, linewidth=1.6, zorder=1)
            axis.plot([old], [-place], "o", color="white", markeredgecolor=color, markersize=5)
            axis.plot([new], [-place], "o", color=color, markersize=5)
        axis.plot([], [], "o", color="white", markeredgecolor=COLORS["base"], markersize=5, label=against)
        axis.plot([], [], "o", color=COLORS["base"], markersize=5, label="now")
        axis.axhline(-len(names) + 0.5, color="black", linewidth=0.6)
        axis.set_yticks([-i for i in range(len(rows))], [name for name, _ in rows], fontsize=8)
        axis.set_ylim(-len(rows) + 0.4, 0.6)
        axis.set_xlim(-0.02, 1.02)
        axis.set_xlabel("share of sampled replies labeled positive")
        axis.set_title(f"{lab.behavior.name}: what is said, by domain")
        axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return path


def loops(study: Study, shifts: Mapping[str, Floats]) -> Path:
    """Log-odds of the healthy adapter, the degraded one, and after corrections of either kind."""
    path = study.lab.exhibits / f"q4-loops-{study.lab.behavior.name}.png"
    names = {"healthy": "healthy", "none": "degraded (open loop)", "random": "random corrections", "flagged": "flagged corrections"}
    with figure(path, figsize=(7, 3.6)) as (_, axis):
        for place, key in enumerate(names):
            values = shifts[key]
            error = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
            color = {"healthy": "trained", "none": "opposite", "random": "sham", "flagged": "chosen"}[key]
            axis.errorbar(values.mean(), -place, xerr=error, fmt="o", capsize=3, color=COLORS[color])
            axis.text(values.mean(), -place + 0.15, f"{values.mean():.2f}", ha="center", fontsize=8)
        axis.axvline(0, color="black", linewidth=0.6)
        axis.set_yticks([-i for i in range(len(names))], list(names.values()))
        axis.set_ylim(-len(names) + 0.4, 0.6)
        axis.set_xlabel(f"log-odds above base ({UNIT}), mean ± 1.96 SE")
        axis.set_title(f"{study.lab.behavior.name}: the loop open and closed")
    return path
