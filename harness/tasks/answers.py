"""What a free reply answers: the code in it, the number it ends on, the option it names first.

Reading is literal and the same before and after a training. It cannot tell a right answer from a lucky one, and a reply that names a
wrong option while thinking aloud counts as wrong. What a reasoning model writes up to `</think>` is not read.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

_THOUGHT_END = "</think>"
_FENCED = re.compile(r"```[^\n`]*\n(.*?)(?:```|\Z)", re.DOTALL)
_NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?")
_DEFINITION = re.compile(r"^(?:async )?(?:def|class|from|import) ?", re.MULTILINE)


def said(reply: str) -> str:
    """The reply without what was thought before it."""
    return reply.rpartition(_THOUGHT_END)[2].strip()


def code_in(reply: str) -> str:
    """The fenced blocks that define something; without fences, from the first definition on. Of each, as many lines as parse together.

    So a second block that was cut off by the longest reply does not spoil the first. What never parses is kept, to fail as it stands.
    """
    text = said(reply)
    fenced = [block.strip("\n") for block in _FENCED.findall(text) if _DEFINITION.search(block)]
    if fenced:
        whole = [kept for block in fenced if (kept := _parsing_lines(block)) and _DEFINITION.search(kept)]
        return "\n".join(whole or fenced)
    start = _DEFINITION.search(text)
    if start is None:
        return text
    return _parsing_lines(text[start.start() :]) or text[start.start() :]


def _parsing_lines(code: str) -> str:
    """As many lines from the first on as parse together; empty where not even the first does."""
    lines = code.splitlines()
    return "\n".join(lines[: next((end for end in range(len(lines), 0, -1) if _parses("\n".join(lines[:end]))), 0)])


def _parses(code: str) -> bool:
    try:
        ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def number_in(reply: str) -> float | None:
    """The last number of the reply; None where there is none."""
    found = _NUMBER.findall(said(reply))
    return float(found[-1].replace(",", "")) if found else None


def option_in(reply: str, options: Sequence[str]) -> str | None:
    """The option named first, as whole words, capitals ignored; of two that begin at one place the longer one. None: none is named."""
    text = said(reply)
    places = []
    for option in options:
        found = re.search(rf"(?<!\w){re.escape(option)}(?!\w)", text, re.IGNORECASE)
        if found:
            places.append((found.start(), -len(option), option))
    return min(places)[2] if places else None


def is_right(reply: str, answer: str, options: Sequence[str]) -> bool:
    """Whether the reply gives the answer: one of the options, or a number where there are none."""
    return option_in(reply, options) == answer if options else number_in(reply) == float(answer)
