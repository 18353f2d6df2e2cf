"""One line of text out of many, for messages to people."""

from __future__ import annotations


def one_line(text: str, otherwise: str = "no message") -> str:
    """The first line of `text` that is not blank, with single spaces; `otherwise` where every line is blank."""
    return next((" ".join(line.split()) for line in text.splitlines() if line.strip()), otherwise)
