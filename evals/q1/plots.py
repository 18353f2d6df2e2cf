"""Q1's plots."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.data.arm import ArmKind, Regime
from harness.data.arrays import Floats
from harness.experiment.exhibits import COLORS, figure
from harness.readouts.forced_choice import PRIMARY, UNIT

REGIMES: tuple[Regime, ...] = ("stream", "steps")
COMPARED: tuple[ArmKind, ...] = ("trained", "sham")

if TYPE_CHECKING:
    from evals.q1.experiment import Study
    from harness.analysis.knee import Knee
    from harness.analysis.onset import Onset


def _band(axis: Any, xs: Any, values: Floats, color: str, label: str, style: str = "-") -> None:
    """Mean over seeds and scenarios with the range of the seeds; `values` [points, seeds, pairs]."""
    by_seed = values.mean(axis=2)
    axis.plot(xs, by_seed.mean(axis=1), style, marker="o", color=color, label=label, markersize=4)
    axis.fill_between(xs, by_seed.min(axis=1), by_seed.max(axis=1), color=color, alpha=0.15, linewidth=0)


def dose_curve(study: Study, knee: Knee, onset: Onset) -> Path:
    """Behavior above, mechanism below, against the number of examples on a logarithmic axis; knee and onset marked."""
    path = study.lab.exhibits / f"q1-dose-{study.lab.behavior.name}.png"
    ns, last = study.lab.doses, study.lab.doses[-1]
    rows = 2 if study.inside else 1
    with figure(path, figsize=(8, 4 * rows), nrows=rows, sharex=True, squeeze=False) as (_, axes):
        top = axes[0, 0]
        for regime, style, note in zip(REGIMES, ("-", "--"), ("", ", matched steps"), strict=True):
            for kind in COMPARED:
                curve = np.stack([study.shifts[regime, kind, n].metric(PRIMARY) for n in ns])
                _band(top, ns, curve, COLORS[kind], kind + note, style)
        opposite = study.shifts["stream", "opposite", last].metric(PRIMARY).mean(axis=1)
        top.scatter(np.full(len(opposite), last), opposite, marker="D", s=18, color=COLORS["opposite"], label="opposite, one dot a seed")
        top.axhline(0, color="black", linewidth=0.6)
        top.set_ylabel(f"shift of the log-odds against base\n({UNIT})")
        if knee.n is not None:
            top.axvline(knee.n, color=COLORS["chosen"], linestyle=":", label=f"knee: {knee.n}")
        if onset.n is not None:
            top.axvline(onset.n, color=COLORS["base"], linestyle="-.", linewidth=1, label=f"onset: {onset.n}")
        if study.candidate_shift is not None:
            top.axhline(study.candidate_shift.mean(), color=COLORS["chosen"], label="candidate")
        top.set_title(f"{study.lab.behavior.name}: behavior by number of examples (line: mean, band: range of the seeds)")
        top.legend(fontsize=8, ncols=2)
        if study.inside:
            below = axes[1, 0]
            for kind in COMPARED:
                _band(
                    below,
                    ns,
                    np.stack([study.inside[kind, n].attention_size for n in ns]),
                    COLORS[kind],
                    f"{kind}: attention (Jensen–Shannon)",
                )
                _band(
                    below,
                    ns,
                    np.stack([study.inside[kind, n].head_change for n in ns]),
                    COLORS[kind],
                    f"{kind}: head outputs (relative)",
                    "--",
                )
            below.plot(
                [last], [study.inside["opposite", last].attention_size.mean()], "D", color=COLORS["opposite"], label="opposite: attention"
            )
            below.set_ylabel("size of the change inside,\nmean over heads")
            below.set_title("Mechanism: size follows the steps; direction (next plot) tells the arms apart")
            below.legend(fontsize=8, ncols=2)
        axes[-1, 0].set_xscale("log")
        axes[-1, 0].set_xticks(ns, [str(n) for n in ns])
        axes[-1, 0].set_xlabel("training examples")
    return path


def inside(study: Study, projections: Mapping[ArmKind, Floats]) -> Path:
    """Change of attention at the largest n along the direction that other seeds and scenarios learned, and its size."""
    path = study.lab.exhibits / f"q1-inside-{study.lab.behavior.name}.png"
    last = study.lab.doses[-1]
    with figure(path, figsize=(8, 3.6), ncols=3) as (_, axes):
        panels = (
            ("direction: projection on the\ncross-fitted trained direction", projections),
            ("size: Jensen–Shannon distance", {kind: study.inside[kind, last].attention_size for kind in projections}),
            ("mass on the direction's words\nabove a span elsewhere", {kind: study.inside[kind, last].span_mass for kind in projections}),
        )
        for axis, (title, values) in zip(axes, panels, strict=True):
            for at, (kind, array) in enumerate(values.items()):
                by_seed = array.mean(axis=1)
                axis.bar(at, by_seed.mean(), color=COLORS[kind], alpha=0.6)
                axis.scatter(np.full(len(by_seed), at), by_seed, color="black", s=12, zorder=3)
            axis.axhline(0, color="black", linewidth=0.6)
            axis.set_xticks(range(len(values)), list(values))
            axis.set_title(title, fontsize=9)
    return path
