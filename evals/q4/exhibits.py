"""Q4's plots and transcripts: what is surfaced and flagged by dose, the chart, the loops, and what is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from evals.q4.design import CLEAN, SHOWN, WORST_DOMAIN
from evals.q4.study import Study
from harness.agents.agent import Conversation
from harness.analysis.auc import auc
from harness.analysis.control_chart import Chart
from harness.analysis.worst_group import WorstGroup
from harness.data.arrays import Flags, Floats, Names
from harness.data.behavior import Pair
from harness.data.measurement import Estimate, Exhibit
from harness.experiment.exhibits import COLORS, Transcript
from harness.experiment.lab import Lab
from harness.judges.judge import Label
from harness.readouts.forced_choice import UNIT


def surfacing(study: Study, scores: Mapping[int, Floats], names: Sequence[str]) -> Exhibit:
    """Left: AUC of the pattern and of every placebo by dose. Right: the ROC curve of the pattern at each dose.

    `scores`: activations [names, pairs] by dose, 0 for the healthy adapter; the first of `names` is the pattern.
    """
    doses = [dose for dose in scores if dose]
    with study.lab.exhibits.figure("q4-surfacing", "surfacing of the pattern by dose", figsize=(10, 4.4), ncols=2) as drawing:
        left, right = drawing.axes
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
        left.set_title(f"the first training alone, {len(study.pairs)} scenarios", fontsize=9)
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
    return drawing.exhibit


def flags_by_dose(study: Study, degraded: Mapping[int, Flags], sham: Mapping[int, Flags]) -> Exhibit:
    """Share of scenarios flagged after counter-examples and after as much neutral training, ± 1.96 SE; flags [pairs] by dose."""
    with study.lab.exhibits.figure("q4-flags", "flags by dose", figsize=(7, 4)) as drawing:
        axis = drawing.axes
        for name, rows, color in (("counter-examples", degraded, "opposite"), ("sham", {0: degraded[0], **sham}, "sham")):
            shares = np.array([flags.mean() for flags in rows.values()])
            errors = 1.96 * np.sqrt(shares * (1 - shares) / len(degraded[0]))
            axis.errorbar(list(rows), shares, yerr=errors, fmt="o-", capsize=3, color=COLORS[color], label=name)
        axis.set_ylim(0, 1)
        axis.set_xlabel("examples after the healthy adapter")
        axis.set_ylabel("share of test scenarios flagged")
        axis.set_title(f"{study.lab.behavior.name}: flags of training-signal (± 1.96 SE)")
        axis.legend()
    return drawing.exhibit


def control_chart(study: Study, chart: Chart, values: Sequence[float]) -> Exhibit:
    """S by simulated cycle (`values`, nats), with the limit and the planted change."""
    cycles = np.arange(1, len(values) + 1)
    with study.lab.exhibits.figure("q4-chart", "control chart", figsize=(7, 4)) as drawing:
        axis = drawing.axes
        axis.plot(cycles, values, "o-", color=COLORS["trained"], label="S")
        axis.axhline(chart.limit, color=COLORS["opposite"], linestyle="--", label=f"limit {chart.limit:g}")
        axis.axvline(CLEAN + 0.5, color=COLORS["chosen"], linestyle=":", label="planted degradation")
        axis.set_xticks(cycles)
        axis.set_xlabel("simulated cycle")
        axis.set_ylabel("CUSUM of flags (nats)")
        axis.set_title(f"{study.lab.behavior.name}: p0 {chart.p0:.2f}, tuned to {chart.p1:.2f}")
        axis.legend(fontsize=8)
    return drawing.exhibit


def rates_by_domain(lab: Lab, before: Floats, after: Floats, domains: Names, against: str) -> Exhibit:
    """Share of replies labeled positive by domain, before and after, the largest fall first; below all of them together.

    `before`, `after`, `domains` [pairs]; `against` names what `before` is.
    """
    names = sorted(dict.fromkeys(domains.tolist()), key=lambda name: float((after - before)[domains == name].mean()))
    rows = [*((name, domains == name) for name in names), ("all", np.full(len(domains), True))]
    with lab.exhibits.figure("q4-judged-rate", "rate by domain", figsize=(8, 0.24 * len(rows) + 1.4)) as drawing:
        axis = drawing.axes
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
    return drawing.exhibit


def change_by_domain(lab: Lab, worst: WorstGroup, against: str) -> Exhibit:
    """Change of every domain with its simultaneous 95 % interval, the lowest first, and the bound."""
    bound, means = lab.bound(WORST_DOMAIN), worst.means
    with lab.exhibits.figure("q4-worst-domain", "change by domain", figsize=(8, 0.24 * len(means) + 1.4)) as drawing:
        axis = drawing.axes
        for place, (_name, mean, low, high) in enumerate(means):
            color = COLORS["opposite" if low <= bound else "trained"]
            axis.plot([low, high], [-place, -place], color=color, linewidth=1.4)
            axis.plot([mean], [-place], "o", color=color, markersize=5)
        axis.axvline(0, color="black", linewidth=0.6)
        axis.axvline(bound, color=COLORS["opposite"], linestyle="--", linewidth=1, label=f"bound {bound:g}")
        axis.set_yticks([-i for i in range(len(means))], [name for name, *_ in means], fontsize=8)
        axis.set_ylim(-len(means) + 0.4, 0.6)
        axis.set_xlabel(f"change since {against}, share of the effect (intervals hold together at 95 %)")
        axis.set_title(f"{lab.behavior.name}: change by domain")
        axis.legend(fontsize=8, loc="lower right")
    return drawing.exhibit


def changes(lab: Lab, id: str, change: Floats, domains: Names, share: Estimate | None, against: str) -> Exhibit:
    """Change of every scenario as a dot and of every domain as a bar, the lowest domain first; the mean with its interval, and the bound.

    `change` [pairs] in shares of the effect, with `domains` [pairs].
    """
    names = sorted(dict.fromkeys(domains.tolist()), key=lambda name: float(change[domains == name].mean()))
    with lab.exhibits.figure(id.replace(".", "-"), "change by scenario", figsize=(8, 0.24 * len(names) + 1.8)) as drawing:
        axis = drawing.axes
        for place, name in enumerate(names):
            here = change[domains == name]
            axis.plot(here, np.full(len(here), -place), "o", color=COLORS["null"], markersize=3)
            axis.plot([here.mean()], [-place], "|", color=COLORS["base"], markersize=11, markeredgewidth=2)
        if share is not None:
            axis.axvspan(share.low, share.high, color=COLORS["trained"], alpha=0.25, label="mean, 95 % interval")
            axis.axvline(share.value, color=COLORS["trained"], linewidth=1.5)
        axis.axvline(lab.bound(id), color=COLORS["opposite"], linestyle="--", linewidth=1, label=f"bound {lab.bound(id):g}")
        axis.axvline(0, color="black", linewidth=0.6)
        axis.set_yticks([-i for i in range(len(names))], names, fontsize=8)
        axis.set_ylim(-len(names) + 0.4, 0.6)
        axis.set_xlabel(f"change since {against}, share of the effect; a dot a scenario, a bar a domain")
        axis.set_title(f"{lab.behavior.name}: {id}")
        axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return drawing.exhibit


def loops(study: Study, shifts: Mapping[str, Floats]) -> Exhibit:
    """Log-odds of the healthy adapter, the degraded one, and after corrections of either kind; `shifts` [pairs] each, nats above base."""
    shown = {
        "healthy": ("healthy", "trained"),
        "none": ("degraded (open loop)", "opposite"),
        "random": ("random corrections", "sham"),
        "flagged": ("flagged corrections", "chosen"),
    }
    with study.lab.exhibits.figure("q4-loops", "open against closed loop", figsize=(7, 3.6)) as drawing:
        axis = drawing.axes
        for place, (key, (_, color)) in enumerate(shown.items()):
            values = shifts[key]
            error = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
            axis.errorbar(values.mean(), -place, xerr=error, fmt="o", capsize=3, color=COLORS[color])
            axis.text(values.mean(), -place + 0.15, f"{values.mean():.2f}", ha="center", fontsize=8)
        axis.axvline(0, color="black", linewidth=0.6)
        axis.set_yticks([-i for i in range(len(shown))], [label for label, _ in shown.values()])
        axis.set_ylim(-len(shown) + 0.4, 0.6)
        axis.set_xlabel(f"log-odds above base ({UNIT}), mean ± 1.96 SE")
        axis.set_title(f"{study.lab.behavior.name}: the loop open and closed")
    return drawing.exhibit


def replies_that_fell(
    lab: Lab, pairs: Sequence[Pair], change: Floats, labeled: Sequence[Sequence[Label]], replies: Sequence[Sequence[Conversation]]
) -> Exhibit:
    """Every sampled reply with its label, in the scenarios whose rate fell most.

    `change` [pairs]; `labeled` and `replies` [seeds][pairs].
    """
    transcripts = [
        Transcript(
            f"{pairs[i].id}: rate changed by {change[i]:+.2f}",
            pairs[i].messages,
            [(of_seed[i], said[i].reply) for of_seed, said in zip(labeled, replies, strict=True)],
        )
        for i in np.argsort(change, kind="stable")[:SHOWN]
    ]
    return lab.exhibits.transcripts("q4-judged-rate", "replies where the rate fell most", transcripts, "no scenarios")
