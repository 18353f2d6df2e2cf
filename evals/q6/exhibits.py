"""Q6's plot and transcripts: the gain of every domain and tier, and what was said to the tasks that moved most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evals.q6.ability import prompt_of, replies
from evals.q6.cells import Cell, kept, margin_of, tasks_of
from evals.q6.change import ScoredPart, mean_gain
from evals.q6.design import TRANSCRIPTS
from evals.q6.study import Study
from harness.data.measurement import Exhibit
from harness.experiment.exhibits import COLORS, Transcript
from harness.experiment.lab import Lab


def forest(lab: Lab, cells: Sequence[Cell], name: str) -> Exhibit:
    """A row a cell: its mean gain, positive where better, with the 95 % interval; what the margin allows is shaded. Prose stands above."""
    prose = [cell for cell in cells if cell.part == "prose"]
    others = [cell for cell in cells if cell.part != "prose"]
    panels = [
        (group, what)
        for group, what in ((prose, "gain in bits per byte (before − after)"), (others, "gain in share solved (after − before)"))
        if group
    ]
    heights = [len(group) + 1 for group, _ in panels]
    subplots = {"figsize": (9, 0.36 * sum(heights) + 1.6), "nrows": len(panels), "height_ratios": heights, "squeeze": False}
    with lab.exhibits.figure(name, "general ability by domain and tier", **subplots) as drawing:
        axes = drawing.axes[:, 0]
        for axis, (group, what) in zip(axes, panels, strict=True):
            _panel(lab, axis, group)
            axis.set_xlabel(what)
        subject = "candidate" if lab.candidate else "trained arm"
        axes[0].set_title(f"{lab.behavior.name}: general ability, {subject} against base")
    return drawing.exhibit


def _panel(lab: Lab, axis: Any, cells: Sequence[Cell]) -> None:
    color = COLORS["chosen"] if lab.candidate else COLORS["trained"]
    for at, cell in enumerate(cells):
        label = f"{cell.part}: {cell.name}"
        if cell.after is None:
            axis.text(0, -at, f"  left out: {cell.excluded}", color=COLORS["null"], fontsize=8, va="center")
        else:
            gain = mean_gain(lab, cell)
            if gain is not None:
                axis.plot((gain.low, gain.high), [-at, -at], color=color, linewidth=1.6)
            axis.plot([float(cell.gain.mean())], [-at], "o", color=color, markersize=5)
            label += f" ({cell.before.mean():.2f} to {cell.after.mean():.2f})"
        axis.text(-0.01, -at, label, transform=axis.get_yaxis_transform(), ha="right", va="center", fontsize=8)
    margins = {margin_of(lab, cell.part) for cell in cells if cell.part != "lm-eval"}
    for margin in margins:
        axis.axvspan(-margin, 0, color=COLORS["null"], alpha=0.25, linewidth=0, label=f"allowed: {margin:g}")
    axis.axvline(0, color="black", linewidth=0.6)
    axis.set_yticks([])
    axis.set_ylim(-len(cells) + 0.4, 0.6)
    if margins:
        axis.legend(fontsize=8, loc="lower left", bbox_to_anchor=(1, 1))


def transcripts(study: Study, scored: ScoredPart) -> Exhibit:
    """First replies before and after, of the tasks whose share changed most."""
    groups, part = tasks_of(scored.part), scored.part
    moved = [(abs(change), i, cell) for cell in kept(scored.cells) for i, change in enumerate(cell.change)]
    shown = []
    for _, i, cell in sorted(moved, key=lambda one: -one[0])[:TRANSCRIPTS]:
        assert cell.after is not None
        group = groups[cell.name]
        before, after = (replies(study.lab, subject, group, 1)[0][i] for subject in (study.lab.base, study.tested[0]))
        heading = f"{cell.ids[i]}: {cell.before[i]:.0%} of the samples right before, {cell.after[i]:.0%} after; the first of each"
        shown.append(Transcript(heading, prompt_of(group[i]), [("base", before), ("after", after)]))
    title = f"{part}: tasks that moved most"
    return study.lab.exhibits.transcripts(f"q6-{part}", title, shown, otherwise="every tier was left out")
