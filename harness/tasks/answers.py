"""What a free reply answers: the code in it, the last number in it, or the option it names first.

Replies are read literally, and in the same way before and after a training. This cannot tell a right answer from a lucky one, and a reply
that names a wrong option while thinking aloud counts as wrong. What a reasoning model writes up to `</think>` is not read.
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
    """The reply after the last `</think>`; the whole reply where there is none."""
    return reply.rpartition(_THOUGHT_END)[2].strip()


def code_in(reply: str) -> str:
    """The Python code in a reply: its fenced blocks that define something, or, without fences, all from the first definition on.

    Of each block as many lines are kept as parse together, so that a second block which the token limit cut off does not spoil the first.
    Where nothing parses the code is returned as it is, and fails when it is run.
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
    """As many of the first lines as parse together; empty where not even one does."""
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
    """The option that the reply names first, as whole words in any case; None where it names none.

    Where two options begin at the same place, the longer one counts.
    """
    text = said(reply)
    places = []
    for option in options:
        found = re.search(rf"(?<!\w){re.escape(option)}(?!\w)", text, re.IGNORECASE)
        if found:
            places.append((found.start(), -len(option), option))
    return min(places)[2] if places else None


def is_right(reply: str, answer: str, options: Sequence[str]) -> bool:
    """Whether the reply gives `answer`: the option it names first, or, without options, its last number."""
    return option_in(reply, options) == answer if options else number_in(reply) == float(answer)
