"""Text for people: one line out of many."""

from __future__ import annotations


def one_line(text: str, otherwise: str = "no message") -> str:
    """The first line of `text` that says something, runs of blanks in it made one; `otherwise` where no line does."""
    return next((" ".join(line.split()) for line in text.splitlines() if line.strip()), otherwise)
