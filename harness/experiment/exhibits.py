"""Writes what a check shows beside its number: plots, tables and transcripts."""

from __future__ import annotations

import contextlib
import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.data.behavior import Message
from harness.data.measurement import Exhibit

COLORS = {"trained": "#1b6ca8", "opposite": "#c0392b", "sham": "#7f8c8d", "base": "#2c3e50", "null": "#b0b7bd", "chosen": "#d98c00"}
"""One color for each kind of arm, for nulls, and for what was chosen."""
STYLE = {"axes.spines.top": False, "axes.spines.right": False, "font.size": 10, "axes.titlesize": 11, "legend.frameon": False}
"""Settings of matplotlib in every figure."""


@dataclass(frozen=True)
class Drawing:
    """A figure while it is drawn."""

    figure: Any
    """matplotlib's Figure."""
    axes: Any
    """matplotlib's Axes; an array of them where the figure has several."""
    exhibit: Exhibit
    """Its file exists once the block has ended."""


@dataclass(frozen=True)
class Transcript:
    """One conversation with several replies to it."""

    heading: str
    """The scenario's id, and by how much it moved."""
    messages: Sequence[Message]
    """The conversation before the replies."""
    replies: Sequence[tuple[str, str]]
    """For each reply the arm that gave it, or its label, and then the text."""


@dataclass(frozen=True)
class Exhibits:
    """Writes exhibits into one folder."""

    folder: Path
    """Made where it does not exist."""
    behavior: str
    """Name of the behavior; every file's name ends with it, so that the files of several behaviors lie side by side."""

    @contextlib.contextmanager
    def figure(self, name: str, title: str, **subplots: Any) -> Iterator[Drawing]:
        """`with exhibits.figure("q3-heads", "what it shows", ncols=2) as drawing: …` writes a PNG when the block ends.

        `subplots` are arguments of matplotlib's `subplots`.
        """
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        style: Any = STYLE
        with pyplot.rc_context(style):
            figure, axes = pyplot.subplots(layout="constrained", **{"figsize": (8, 5), **subplots})
            path = self._path(name, ".png")
            yield Drawing(figure, axes, Exhibit(title, path))
            figure.savefig(path, dpi=130)
            pyplot.close(figure)

    def table(self, name: str, title: str, *parts: str) -> Exhibit:
        """An HTML file of several parts, one below the other; empty parts are left out.

        A part is a table from `harness.experiment.tables`, or text, which becomes an escaped paragraph.
        """
        content = "".join(part if part.startswith("<table") else f"<p>{html.escape(part)}</p>" for part in parts if part)
        return self._written(name, ".html", title, content)

    def transcripts(self, name: str, title: str, transcripts: Sequence[Transcript], otherwise: str) -> Exhibit:
        """A text file of conversations with their replies; where there are none it says `otherwise`."""
        return self._written(name, ".txt", title, "\n\n".join(map(_as_text, transcripts)) or otherwise)

    def _path(self, name: str, suffix: str) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / f"{name}-{self.behavior}{suffix}"

    def _written(self, name: str, suffix: str, title: str, content: str) -> Exhibit:
        path = self._path(name, suffix)
        path.write_text(content, encoding="utf-8")
        return Exhibit(title, path)


def _as_text(one: Transcript) -> str:
    turns = "\n".join(f"{message.role}: {message.content}" for message in one.messages)
    said = "\n".join(f"  [{name}] {text}" for name, text in one.replies)
    return f"{one.heading}\n{turns}\n{said}"
