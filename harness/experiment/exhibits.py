"""What a check shows beside its number: plots, tables and transcripts, each written once under a name of its own."""

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
STYLE = {"axes.spines.top": False, "axes.spines.right": False, "font.size": 10, "axes.titlesize": 11, "legend.frameon": False}


@dataclass(frozen=True)
class Drawing:
    """A figure while it is drawn; the file of its exhibit is written when the block ends."""

    figure: Any
    axes: Any
    """One matplotlib Axes, or an array of them where the figure has several."""
    exhibit: Exhibit


@dataclass(frozen=True)
class Transcript:
    """One conversation with what was said to it."""

    heading: str
    """Id of the scenario, and by how much it moved."""
    messages: Sequence[Message]
    replies: Sequence[tuple[str, str]]
    """Who said it (an arm) or how it was labeled, and the text."""


@dataclass(frozen=True)
class Exhibits:
    """Writes into `folder`; every file's name ends with the behavior, so that several behaviors stand side by side."""

    folder: Path
    behavior: str

    @contextlib.contextmanager
    def figure(self, name: str, title: str, **subplots: Any) -> Iterator[Drawing]:
        """`with exhibits.figure("q3-heads", "what it shows", ncols=2) as drawing: …`; a PNG, `subplots` as matplotlib's own."""
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
        """An HTML file of the parts, one below the other: text (escaped, a paragraph each) or tables of `harness.experiment.tables`."""
        content = "".join(part if part.startswith("<table") else f"<p>{html.escape(part)}</p>" for part in parts if part)
        return self._written(name, ".html", title, content)

    def transcripts(self, name: str, title: str, transcripts: Sequence[Transcript], otherwise: str) -> Exhibit:
        """A text file of conversations and replies; `otherwise` is what it says where there are none."""
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
