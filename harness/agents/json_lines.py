"""A program of the user's that answers JSON lines: how real agents and dream loops are plugged in.

The program is started once for a batch of requests. It reads one JSON object a line, each with an `id`, from its standard input; for each
it writes one JSON object with the same `id` on a line, in any order, and exits with 0. The last line that it writes to standard error is
quoted where it fails. A program that crashes, does not finish, or gives an invalid answer, two answers or none is a CommandFailure.
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

AnswerRow = TypeVar("AnswerRow", bound=BaseModel)
PATIENCE = 120.0
"""Seconds in which a program must answer a whole batch."""


class CommandFailure(RuntimeError):
    """The program failed or gave an invalid answer. The message is one line that starts with the program's name."""


@dataclass(frozen=True)
class JsonLinesCommand:
    """A program and its arguments, split as a shell would split them but run without a shell. InputError where it cannot be split."""

    command: str
    patience: float = PATIENCE
    """Seconds for one batch."""

    def __post_init__(self) -> None:
        try:
            parts = shlex.split(self.command)
        except ValueError as error:
            raise InputError(f"command {self.command!r}: {error}; allowed: a program and its arguments") from None
        if not parts:
            raise InputError("command '': empty; allowed: a program and its arguments")

    def ask(self, requests: Sequence[Mapping[str, Any]], answer: type[AnswerRow]) -> list[AnswerRow]:
        """One answer for each request, in the order of the requests, each checked against the model `answer`. Raises CommandFailure."""
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

    def _read(self, name: str, output: str, expected: int, answer: type[AnswerRow]) -> list[AnswerRow]:
        answers: dict[int, AnswerRow] = {}
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
