"""Q2's plots and transcripts: failures by label, calibration, how failures spread, and the same by temperature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from evals.q2.design import CLOSE, ENOUGH_LEARNABLE, HARDNESS, LEARNABLE, REPLIES_SHOWN, SHOWN
from evals.q2.study import Rolled, Study
from harness.analysis.beta_binomial import BetaBinomial
from harness.data.measurement import Exhibit
from harness.experiment.exhibits import COLORS, Transcript

Rows = Sequence[Mapping[str, Any]]
"""The series of a check: a row for every label or temperature, `low` and `high` where there is an interval."""


def _bars(row: Mapping[str, Any]) -> list[list[float]]:
    """Distances of the interval's ends from the estimate, for errorbar; none where there is no interval."""
    if row.get("low") is None:
        return [[0.0], [0.0]]
    return [[row["estimate"] - row["low"]], [row["high"] - row["estimate"]]]


def by_label(study: Study, rolled: Rolled, rows: Rows) -> Exhibit:
    """Failure rate of every label with its interval, a dot a scenario; the control set beside."""
    rng = np.random.default_rng(0)  # places the dots, nothing else
    with study.lab.exhibits.figure("q2-labels", "failures by label", figsize=(8, 4.4)) as drawing:
        axis = drawing.axes
        for x, row in enumerate(rows):
            if row["estimate"] is None:
                continue
            dots = rolled.failure_rates[rolled.labeled(row["cell"])]
            axis.scatter(x + rng.uniform(-0.18, 0.18, len(dots)), dots, s=14, color=COLORS["null"], alpha=0.8)
            axis.errorbar(x, row["estimate"], yerr=_bars(row), fmt="D", color=COLORS["trained"], capsize=5, zorder=3)
        axis.set_xticks(range(len(rows)), [f"{row['cell']}\n{row['n']} scenarios" for row in rows])
        axis.set_ylim(-0.03, 1.03)
        axis.set_ylabel(f"share of {rolled.rollouts} rollouts that fail")
        axis.set_title("diamonds: mean and 95 % interval over scenarios")
    return drawing.exhibit


def reliability(study: Study, rolled: Rolled, rows: Rows) -> Exhibit:
    """Failure rate against what the label says it should be; on the diagonal it is calibrated. Bars: share of scenarios."""
    with study.lab.exhibits.figure("q2-reliability", "reliability diagram", figsize=(5.6, 5)) as drawing:
        axis = drawing.axes
        axis.plot([0, 1], [0, 1], color="black", linewidth=0.8)
        axis.fill_between([0, 1], [-CLOSE, 1 - CLOSE], [CLOSE, 1 + CLOSE], color=COLORS["null"], alpha=0.25, label=f"± {CLOSE:g}")
        for row in rows:
            x = HARDNESS[row["cell"]]
            axis.bar(x, row["n"] / len(rolled.scenarios), width=0.08, color=COLORS["sham"], alpha=0.35)
            if row["estimate"] is not None:
                axis.errorbar(x, row["estimate"], yerr=_bars(row), fmt="D", color=COLORS["trained"], capsize=5)
        axis.errorbar(
            rolled.hardness.mean(), rolled.outcomes.mean(), fmt="o", markersize=9, color=COLORS["chosen"], label="all scenarios together"
        )
        axis.set_xticks(list(HARDNESS.values()), list(HARDNESS))
        axis.set_ylim(-0.02, 1.02)
        axis.set_xlabel("label, as the failure rate it stands for")
        axis.set_ylabel("failure rate (bars: share of scenarios)")
        axis.legend(fontsize=8, loc="upper left")
    return drawing.exhibit


def spread_of_failures(study: Study, rolled: Rolled, spread: BetaBinomial) -> Exhibit:
    """Left: how many scenarios failed how often, and what the fit expects. Right: the fitted failure probabilities."""
    counts = np.arange(rolled.rollouts + 1)
    grid = np.linspace(0.005, 0.995, 400)
    title = "failures by scenario and the fitted distribution"
    with study.lab.exhibits.figure("q2-spread", title, figsize=(10, 4), ncols=2) as drawing:
        left, right = drawing.axes
        left.bar(counts, [int((rolled.failures == k).sum()) for k in counts], color=COLORS["sham"], alpha=0.5, label="scenarios")
        expected = len(rolled.scenarios) * stats.betabinom.pmf(counts, rolled.rollouts, spread.a, spread.b)
        left.plot(counts, expected, "o-", color=COLORS["trained"], label="beta-binomial fit")
        left.set_xlabel(f"rollouts of {rolled.rollouts} that failed")
        left.set_ylabel("scenarios")
        left.legend(fontsize=8)
        right.plot(grid, stats.beta.pdf(grid, spread.a, spread.b), color=COLORS["trained"])
        right.axvspan(*LEARNABLE, color=COLORS["chosen"], alpha=0.15, label=f"learnable: {spread.within(*LEARNABLE):.2f} of scenarios")
        right.set_xlabel("failure probability of a scenario")
        right.set_ylabel("density")
        right.legend(fontsize=8)
    return drawing.exhibit


def by_temperature(study: Study, rows: Rows) -> Exhibit:
    """Left: share labeled hard minus failure rate by temperature. Right: learnable share by temperature."""
    title = "calibration and learnable share by temperature"
    with study.lab.exhibits.figure("q2-temperature", title, figsize=(10, 4), ncols=2) as drawing:
        left, right = drawing.axes
        temperatures = [float(row["cell"].split()[-1]) for row in rows]
        left.axhspan(-CLOSE, CLOSE, color=COLORS["null"], alpha=0.25)
        right.axhline(ENOUGH_LEARNABLE, color="black", linewidth=0.8)
        for x, row in zip(temperatures, rows, strict=True):
            left.errorbar(x, row["estimate"], yerr=_bars(row), fmt="D", color=COLORS["trained"], capsize=5)
            if row.get("learnable share") is not None:
                ends = {"estimate": row["learnable share"], "low": row["share_low"], "high": row["share_high"]}
                right.errorbar(x, row["learnable share"], yerr=_bars(ends), fmt="D", color=COLORS["chosen"], capsize=5)
        for axis, label in ((left, "share labeled hard minus failure rate"), (right, "learnable share of scenarios")):
            axis.set_xticks(temperatures)
            axis.set_xlabel("temperature of the dream loop")
            axis.set_ylabel(label)
        right.set_ylim(0, 1.02)
    return drawing.exhibit


def transcripts(study: Study, rolled: Rolled) -> Exhibit:
    """The scenarios that failed most and those that failed least, each with a few replies and their labels."""
    order = [int(i) for i in np.argsort(-rolled.failures, kind="stable")]
    shown = [_transcript(rolled, i) for i in (*order[:SHOWN], *order[-SHOWN:])]
    return study.lab.exhibits.transcripts("q2-transcripts", "the hardest and the easiest scenarios", shown, "no scenarios were dreamed")


def _transcript(rolled: Rolled, i: int) -> Transcript:
    scenario = rolled.scenarios[i]
    seeds = " > ".join(scenario.seeds) or "no seed"
    return Transcript(
        f"{scenario.id}: labeled {scenario.label} by {scenario.labeled_by}, {rolled.failures[i]} of {rolled.rollouts} failed; {seeds}",
        scenario.messages,
        [(labels[i], replies[i]) for labels, replies in zip(rolled.labels[:REPLIES_SHOWN], rolled.replies[:REPLIES_SHOWN], strict=True)],
    )
