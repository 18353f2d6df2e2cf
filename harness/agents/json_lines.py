"""A program of the user's that answers JSON lines: how real agents and dream loops are plugged in.

It is started once for a batch of requests. On its standard input it gets one JSON object a line, each with an `id`; it writes one JSON
object a line with the same `id`, in any order, and exits with 0 after the last. What it writes to standard error is kept for the reason
where it fails. A program that crashes, hangs, answers something else, twice, or not at all ends in a CommandFailure that says which.
"""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from harness.data.errors import InputError

Answer = TypeVar("Answer", bound=BaseModel)
PATIENCE = 120.0
"""Seconds for all answers to one batch."""


class CommandFailure(RuntimeError):
    """The program did not answer as it must. The message is one line that starts with its name."""


@dataclass(frozen=True)
class JsonLinesCommand:
    """A command line, split as a shell would, run without one."""

    command: str
    patience: float = PATIENCE

    def __post_init__(self) -> None:
        try:
            parts = shlex.split(self.command)
        except ValueError as error:
            raise InputError(f"command {self.command!r}: {error}; allowed: a program and its arguments") from None
        if not parts:
            raise InputError("command '': empty; allowed: a program and its arguments")

    def ask(self, requests: Sequence[Mapping[str, Any]], answer: type[Answer]) -> list[Answer]:
        """The answers in the order of the requests, each checked against `answer`. Raises CommandFailure."""
        lines = "".join(json.dumps({"id": i, **request}, ensure_ascii=False) + "\n" for i, request in enumerate(requests))
        name = shlex.split(self.command)[0]
        try:
            done = subprocess.run(
                shlex.split(self.command), input=lines, capture_output=True, text=True, encoding="utf-8", timeout=self.patience, check=False
            )
        except OSError as error:
            raise CommandFailure(f"{name} could not be started: {error.strerror}") from None
        except subprocess.TimeoutExpired:
            raise CommandFailure(f"{name} did not finish {len(requests)} requests within {self.patience:g} s") from None
        except UnicodeDecodeError:
            raise CommandFailure(f"{name} wrote what is not UTF-8") from None
        if done.returncode != 0:
            last = next((line.strip() for line in reversed(done.stderr.splitlines()) if line.strip()), "no message")
            raise CommandFailure(f"{name} exited with {done.returncode}: {last}")
        return self._read(name, done.stdout, len(requests), answer)

    def _read(self, name: str, output: str, expected: int, answer: type[Answer]) -> list[Answer]:
        answers: dict[int, Answer] = {}
        for number, line in enumerate(output.splitlines(), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                id = row.pop("id")
            except (json.JSONDecodeError, AttributeError, KeyError, TypeError):
                raise CommandFailure(f"{name}, answer line {number}: {line[:60]!r} is no JSON object with an id") from None
            if not isinstance(id, int) or isinstance(id, bool) or not 0 <= id < expected:
                raise CommandFailure(f"{name}, answer line {number}: id {id!r} was not asked; asked were 0 to {expected - 1}")
            if id in answers:
                raise CommandFailure(f"{name}, answer line {number}: id {id} is answered twice")
            try:
                answers[id] = answer.model_validate(row, strict=True)
            except ValidationError as error:
                first = error.errors()[0]
                place = ".".join(map(str, first["loc"])) or "the object"
                raise CommandFailure(f"{name}, answer line {number}: {place}: {first['msg']}") from None
        missing = [i for i in range(expected) if i not in answers]
        if missing:
            raise CommandFailure(f"{name} left {len(missing)} of {expected} requests unanswered, the first with id {missing[0]}")
        return [answers[i] for i in range(expected)]
