"""The look that all plots share, and a context manager that saves a figure under a name of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

COLORS = {"trained": "#1b6ca8", "opposite": "#c0392b", "sham": "#7f8c8d", "base": "#2c3e50", "null": "#b0b7bd", "chosen": "#d98c00"}


@contextlib.contextmanager
def figure(path: Path, **subplots: Any) -> Iterator[tuple[Any, Any]]:
    """`with figure(path, nrows=2) as (fig, axes)`: saved as PNG when the block ends."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    style: Any = {"axes.spines.top": False, "axes.spines.right": False, "font.size": 10, "axes.titlesize": 11, "legend.frameon": False}
    with pyplot.rc_context(style):
        fig, axes = pyplot.subplots(layout="constrained", **{"figsize": (8, 5), **subplots})
        yield fig, axes
        path.parent.mkdir(parents=True, exist_ok=True)
        fig.savefig(path, dpi=130)
        pyplot.close(fig)
