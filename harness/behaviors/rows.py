"""Reads JSON lines, each row checked against a pydantic model before anything is returned.

A bad row is an InputError of one line: which file, which line, what was found, what is allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from harness.data.behavior import Role
from harness.data.errors import InputError

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
"""A text that is not empty, without white space around it."""
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
"""Lower-case words of letters and digits, joined by '-'."""


class Strict(BaseModel):
    """A row that refuses unknown keys and converts no types."""

    model_config = ConfigDict(extra="forbid", strict=True)


class MessageRow(Strict):
    """One turn of a conversation."""

    role: Role
    content: Text


class DecisionRow(Strict):
    """The phrases of both completions that carry the decision."""

    positive: list[Text] = Field(min_length=1)
    negative: list[Text] = Field(min_length=1)


Row = TypeVar("Row", bound=BaseModel)


def refuse(file: Path, line: int | None, found: str, allowed: str) -> NoReturn:
    """Raise the InputError of one line; `line` None where the problem is the whole file."""
    where = str(file) if line is None else f"{file}, line {line}"
    raise InputError(" ".join(f"{where}: {found}; allowed: {allowed}".split()))


def first_problem(error: ValidationError, model: type[BaseModel]) -> tuple[str, str]:
    """The first problem that pydantic found, in words: what was found, and what is allowed."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    shown = repr(first["input"])
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    kind, context = first["type"], first.get("ctx", {})
    if kind == "extra_forbidden":
        fields: Mapping[str, Any] = model.model_fields
        for part in first["loc"][:-1]:
            if isinstance(part, str):
                fields = (MessageRow if part == "messages" else DecisionRow).model_fields
        return f"unknown key {place!r}", ", ".join(fields)
    if kind == "missing":
        return f"key {place!r} is missing", ", ".join(model.model_fields)
    if kind == "literal_error":
        return f"{place} is {shown}", str(context["expected"])
    if kind == "string_pattern_mismatch":
        return f"{place} is {shown}", "lower-case words of letters and digits, joined by '-'"
    if kind in ("string_too_short", "too_short"):
        return f"{place} is empty", "at least one " + ("character" if kind == "string_too_short" else "entry")
    return f"{place} is {shown}", first["msg"][:1].lower() + first["msg"][1:]


def read_rows(file: Path, model: type[Row]) -> list[tuple[int, Row]]:
    """The rows of a JSON-lines file, each with its line number and checked against `model`. Blank lines are skipped.

    InputError where the file cannot be read, and for the first bad row.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        refuse(file, None, "no such file", "a UTF-8 text file with one JSON object a line")
    except (OSError, UnicodeDecodeError) as error:
        refuse(file, None, f"not readable ({error})", "a UTF-8 text file with one JSON object a line")
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            rows.append((number, model.model_validate_json(line)))
        except ValidationError as error:
            if error.errors()[0]["type"] == "json_invalid":
                refuse(file, number, f"not JSON ({error.errors()[0]['msg']})", "one JSON object a line")
            if error.errors()[0]["type"] == "model_type":
                refuse(file, number, "not a JSON object", "one JSON object a line")
            refuse(file, number, *first_problem(error, model))
    return rows
