"""Q6's plot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.experiment.exhibits import COLORS, figure

if TYPE_CHECKING:
    from evals.q6.experiment import Study


def forest(study: Study) -> Path:
    """A row a domain or tier: after minus before with its 95 % interval; what the margin allows is shaded. Right is better."""
    path = study.lab.exhibits / f"q6-forest-{study.lab.behavior.name}.png"
    prose = [cell for cell in study.cells if cell.part == "prose"]
    others = [cell for cell in study.cells if cell.part != "prose"]
    heights = [len(prose) + 1, len(others) + 1]
    with figure(path, figsize=(9, 0.36 * sum(heights) + 1.6), nrows=2, height_ratios=heights) as (_, axes):
        for axis, cells, what in (
            (axes[0], prose, "gain in bits per byte (before − after)"),
            (axes[1], others, "gain in share solved (after − before)"),
        ):
            for at, cell in enumerate(cells):
                label = f"{cell.part}: {cell.name}"
                if cell.after is None:
                    axis.text(0, -at, f"  left out: {cell.excluded}", color=COLORS["null"], fontsize=8, va="center")
                else:
                    _row(axis, -at, study.interval(cell), cell.gain, study.lab.candidate is not None)
                    label += f" ({cell.before.mean():.2f} to {cell.after.mean():.2f})"
                axis.text(-0.01, -at, label, transform=axis.get_yaxis_transform(), ha="right", va="center", fontsize=8)
            margins = {study.margin(cell.part) for cell in cells if cell.part != "lm-eval"}
            for margin in margins:
                axis.axvspan(-margin, 0, color=COLORS["null"], alpha=0.25, linewidth=0, label=f"allowed: {margin:g}")
            axis.axvline(0, color="black", linewidth=0.6)
            axis.set_yticks([])
            axis.set_ylim(-len(cells) + 0.4, 0.6)
            axis.set_xlabel(what)
            if margins:
                axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
        subject = "candidate" if study.lab.candidate else "trained arm"
        axes[0].set_title(f"{study.lab.behavior.name}: general ability, {subject} against base")
    return path


def _row(axis: Any, y: float, interval: tuple[float, float] | None, gain: Any, candidate: bool) -> None:
    color = COLORS["chosen"] if candidate else COLORS["trained"]
    mean = float(gain.mean())
    if interval is not None:
        axis.plot(interval, [y, y], color=color, linewidth=1.6)
    axis.plot([mean], [y], "o", color=color, markersize=5)
