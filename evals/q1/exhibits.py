"""Q1's plots, tables and transcripts: the dose curve, the knee, the view inside, what each metric tells apart, replies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from evals.q1.design import COMPARED, KNEE_SHARE, MECHANISM_SEEDS, METRIC, REGIMES, RESTS_ON, SHOWN
from evals.q1.metrics import Row, recorded, separation, sharpest
from evals.q1.study import Study
from harness.analysis.knee import Knee
from harness.analysis.onset import Onset
from harness.data.arm import ArmKind
from harness.data.arrays import Floats
from harness.data.measurement import Exhibit
from harness.experiment.exhibits import COLORS, Transcript
from harness.experiment.tables import html_records, html_table
from harness.readouts.forced_choice import UNIT

HEADINGS = ("model", "behavior", "metric", "trained", "sham", "opposite", "above sham", "above opposite")
"""Columns of the recorded table; its other columns are for those who choose the metric anew."""


def dose_curve(study: Study, knee: Knee | None, onset: Onset | None) -> Exhibit:
    """Behavior above, mechanism below, against the number of examples on a logarithmic axis; knee and onset marked where there are any."""
    rows = 2 if study.inside else 1
    shape: dict[str, Any] = {"figsize": (8, 4 * rows), "nrows": rows, "sharex": True, "squeeze": False}
    with study.lab.exhibits.figure("q1-dose", "dose curve", **shape) as drawing:
        axes = drawing.axes[:, 0]
        _behavior(axes[0], study)
        if knee is not None and knee.n is not None:
            axes[0].axvline(knee.n, color=COLORS["chosen"], linestyle=":", label=f"knee: {knee.n}")
        if onset is not None and onset.n is not None:
            axes[0].axvline(onset.n, color=COLORS["base"], linestyle="-.", linewidth=1, label=f"onset: {onset.n}")
        axes[0].legend(fontsize=8, ncols=2)
        if study.inside:
            _mechanism(axes[1], study)
        _examples_below(axes[-1], study)
    return drawing.exhibit


def _behavior(axis: Any, study: Study) -> None:
    """Shift of the log-odds by number of examples in both regimes, opposite and candidate beside."""
    doses, most = study.lab.doses, study.most
    for regime, style, note in zip(REGIMES, ("-", "--"), ("", ", matched steps"), strict=True):
        for kind in COMPARED:
            curve = np.stack([study.shifts[regime, kind, n].metric(METRIC) for n in doses])
            _band(axis, doses, curve, COLORS[kind], f"{kind}{note}, {_counted(curve.shape[1], 'seed')}", style)
    opposite = study.shifts[RESTS_ON, "opposite", most].metric(METRIC).mean(axis=1)
    axis.scatter(np.full(len(opposite), most), opposite, marker="D", s=18, color=COLORS["opposite"], label="opposite, one dot a seed")
    axis.axhline(0, color="black", linewidth=0.6)
    if study.candidate_shift is not None:
        axis.axhline(study.candidate_shift.mean(), color=COLORS["chosen"], label="candidate")
    axis.set_ylabel(f"shift of the log-odds against base\n({UNIT})")
    axis.set_title(f"{study.lab.behavior.name}: behavior by number of examples (line: mean, band: range of the seeds)")


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count > 1 else ''}"


def _mechanism(axis: Any, study: Study) -> None:
    """Size of the change inside by number of examples, of the first MECHANISM_SEEDS trainings."""
    doses = study.lab.doses
    for kind in COMPARED:
        attention, heads = (
            np.stack([getattr(study.inside[kind, n], field) for n in doses])  # [numbers of examples, seeds, pairs]
            for field in ("attention_size", "head_change")
        )
        _band(axis, doses, attention, COLORS[kind], f"{kind}: attention (Jensen–Shannon)")
        _band(axis, doses, heads, COLORS[kind], f"{kind}: head outputs (relative)", "--")
    opposite = study.inside_at_most["opposite"].attention_size[:MECHANISM_SEEDS].mean()
    axis.plot([study.most], [opposite], "D", color=COLORS["opposite"], label="opposite: attention")
    axis.set_ylabel("size of the change inside,\nmean over heads")
    axis.set_title(f"Mechanism, {MECHANISM_SEEDS} seeds: size follows the steps; direction (q1.attention_shift) tells the arms apart")
    axis.legend(fontsize=8, ncols=2)


def _band(axis: Any, xs: Sequence[int], values: Floats, color: str, label: str, style: str = "-") -> None:
    """Mean over seeds and scenarios with the range of the seeds; `values` [points, seeds, pairs]."""
    by_seed = values.mean(axis=2)
    axis.plot(xs, by_seed.mean(axis=1), style, marker="o", color=color, label=label, markersize=4)
    axis.fill_between(xs, by_seed.min(axis=1), by_seed.max(axis=1), color=color, alpha=0.15, linewidth=0)


def _examples_below(axis: Any, study: Study) -> None:
    """The axis of numbers of examples, logarithmic."""
    axis.set_xscale("log")
    axis.set_xticks(study.lab.doses, [str(n) for n in study.lab.doses])
    axis.set_xlabel("training examples")


def knee_curve(study: Study, knee: Knee) -> Exhibit:
    """The effect over sham by number of examples with its interval, against the share of the largest that counts as enough."""
    with study.lab.exhibits.figure("q1-knee", "effect by number of examples, and the knee", figsize=(7, 4)) as drawing:
        axis = drawing.axes
        effects = [point.effect for point in knee.points]
        means = np.array([effect.value for effect in effects])
        ends = np.abs(np.array([[effect.low for effect in effects], [effect.high for effect in effects]]) - means)
        axis.errorbar([point.n for point in knee.points], means, yerr=ends, marker="o", color=COLORS["trained"], capsize=4)
        enough = (1 - KNEE_SHARE) * means[-1]
        axis.axhline(enough, color=COLORS["null"], linestyle="--", label=f"{1 - KNEE_SHARE:.0%} of the effect at {study.most} examples")
        axis.axhline(0, color="black", linewidth=0.6)
        if knee.low_n is not None and knee.high_n is not None:
            axis.axvspan(knee.low_n, knee.high_n, color=COLORS["chosen"], alpha=0.15, label="interval of the knee")
        if knee.n is not None:
            axis.axvline(knee.n, color=COLORS["chosen"], linestyle=":", label=f"knee: {knee.n}")
        axis.set_ylabel(f"trained - sham\n({UNIT})")
        axis.set_title(f"{study.lab.behavior.name}: {RESTS_ON} regime (bars: 95 % interval over seeds and scenarios)")
        axis.legend(fontsize=8)
        _examples_below(axis, study)
    return drawing.exhibit


def by_arm(study: Study, projections: Mapping[ArmKind, Floats]) -> Exhibit:
    """Change of attention at the most examples: along the direction that other seeds and scenarios learned, and its size.

    `projections` [seeds, pairs] by kind.
    """
    panels = (
        ("direction: projection on the\ncross-fitted trained direction", projections),
        ("size: Jensen–Shannon distance", {kind: study.inside_at_most[kind].attention_size for kind in projections}),
        ("mass on the direction's words\nabove a span elsewhere", {kind: study.inside_at_most[kind].span_mass for kind in projections}),
    )
    with study.lab.exhibits.figure("q1-inside", "change inside by arm", figsize=(8, 3.6), ncols=3) as drawing:
        for axis, (title, values) in zip(drawing.axes, panels, strict=True):
            for at, (kind, array) in enumerate(values.items()):
                by_seed = array.mean(axis=1)
                axis.bar(at, by_seed.mean(), color=COLORS[kind], alpha=0.6)
                axis.scatter(np.full(len(by_seed), at), by_seed, color="black", s=12, zorder=3)
            axis.axhline(0, color="black", linewidth=0.6)
            axis.set_xticks(range(len(values)), list(values))
            axis.set_title(title, fontsize=9)
    return drawing.exhibit


def separation_table(study: Study) -> Exhibit:
    """What each metric tells apart on these scenarios, above the table that the primary metric was chosen from."""
    rows = separation(study)
    note = (
        "Mean shift against base at the most examples (judged replies: share that shows the behavior); gaps in standard errors over "
        f"scenarios, and in how many seeds they are positive. Checks rest on {METRIC}; on these scenarios the arms are told apart best by "
        f"{sharpest(rows) or 'none'}."
    )
    chosen = "The primary was chosen on dev pairs of both shipped models and behaviors, from this table (python -m evals.q1.metrics):"
    title = "which metric tells the arms apart"
    return study.lab.exhibits.table("q1-separation", title, note, html_records(rows), chosen, recorded_table(recorded()))


def recorded_table(rows: Sequence[Row]) -> str:
    """The table that the primary metric was chosen from, as HTML."""
    return html_table(HEADINGS, [[row[name] for name in HEADINGS] for row in rows])


def transcripts(study: Study) -> Exhibit:
    """Replies of the arms where the log-odds moved most."""
    moved, texts = study.effects[-1].mean(axis=0), study.replies.texts
    most = [int(i) for i in np.argsort(-np.abs(moved))[:SHOWN]] if texts else []
    shown = [
        Transcript(
            f"{study.pairs[i].id}: trained - sham {moved[i]:+.3f} {UNIT}",
            study.pairs[i].messages,
            [(name, said[i]) for name, said in texts.items()],
        )
        for i in most
    ]
    return study.lab.exhibits.transcripts("q1-transcripts", "replies of the scenarios that moved most", shown, "no replies were judged")
