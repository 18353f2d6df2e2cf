"""Dream loops: the embedded one, a program of the user's, and a file.

The embedded one asks a model for a situation around a thing that the walked memories mention, and takes what "the user says" in it. A
third of the requests asks for a clear direction, a third for a hidden one. What it writes is as good as the model: the shipped one
knows the form and a few thousand words (and no system messages), smollm2-135m writes stories about directions instead of directions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from harness.agents.json_lines import CommandFailure, JsonLinesCommand
from harness.behaviors.rows import read_rows
from harness.data.behavior import Message
from harness.data.errors import InputError
from harness.data.subject import Subject
from harness.dreams.difficulty import Difficulty
from harness.dreams.scenarios import Dream, DreamError
from harness.dreams.walk import Walk
from harness.readouts.recordings import Recordings

KINDS = ("clear ", "", "hidden ")
TASK = Message("system", "You write what a user says to an assistant: the user's own words and nothing else, one to three sentences.")
MOST_TOKENS = 100
_SPEAKS = re.compile(r"\b[Tt]he user says:\s*")
_OF_THE_TALK = (
    "reply|answer|request|question|end|start|wish|first|second|whole|opening|asker|other|middle|one|same|next|last|most|way|words?|person|"
    "page|figure|best|matter|thing|talk|text|lines?|sentence|tone|assistant|entry|entries|links?|subject|new|old|front|back|full|final|"
    "finest|deepest|formal|corrected|undersigned|bottom|top|north|south|royal|older|sewing|two|three"
)
"""What memories of conversations mention besides things."""
_THING = re.compile(rf"\b(?:the|a|an) (?!(?:{_OF_THE_TALK})\b)([a-z]{{3,}})\b(?! of\b)", re.IGNORECASE)


@dataclass(frozen=True)
class EmbeddedDreams:
    """The scenario mode of a model, usually the base subject's own, at a temperature."""

    recordings: Recordings
    subject: Subject
    holds = None

    @property
    def name(self) -> str:
        return f"embedded-{self.subject.name}"

    def dream(self, walks: Sequence[Walk], temperature: float, seed: int) -> list[Dream]:
        rng = np.random.default_rng([seed, 21])
        prompts = []
        for walk in walks:
            kind, thing = KINDS[rng.integers(len(KINDS))], thing_of(walk, rng)
            about = f" about {thing}" if thing else ""
            prompts.append(
                (
                    TASK,
                    Message("user", f"Write a situation in which somebody gives a {kind}direction{about}."),
                )
            )
        replies = self.recordings.replies(self.subject, prompts, seed, temperature=temperature, max_new_tokens=MOST_TOKENS)
        return [Dream(said_in(reply)) for reply in replies]


def thing_of(walk: Walk, rng: np.random.Generator) -> str | None:
    """Something the last memory of the walk mentions ("the letter"), or one before it; None where none of them names a thing."""
    for node in reversed(walk):
        things = [] if node.kind == "pattern" else [found.lower() for found in _THING.findall(node.text)]
        if things:
            return f"the {things[rng.integers(len(things))]}"
    return None


def said_in(reply: str) -> str:
    """The user's turn in a written situation: the situation as the user would tell it, then what is said."""
    return _SPEAKS.sub("", reply).strip().strip('"“”')


class _DreamRow(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    text: str
    label: Difficulty | None = None
    seeds: tuple[str, ...] | None = None

    def dream(self) -> Dream:
        return Dream(self.text, self.label, self.seeds)


@dataclass(frozen=True)
class CommandDreams:
    """A program of the user's; see docs/agents.md."""

    command: JsonLinesCommand
    holds = None

    @property
    def name(self) -> str:
        return f"command {self.command.command}"

    def dream(self, walks: Sequence[Walk], temperature: float, seed: int) -> list[Dream]:
        requests = [{"seeds": [asdict(node) for node in walk], "temperature": temperature, "seed": seed} for walk in walks]
        try:
            return [row.dream() for row in self.command.ask(requests, _DreamRow)]
        except CommandFailure as failure:
            raise DreamError(f"dream loop: {failure}") from None


@dataclass(frozen=True)
class FileDreams:
    """Scenarios somebody dreamed before, one JSON object a line: `text`, and where known `label` and `seeds`."""

    path: Path
    dreams: tuple[Dream, ...]

    @property
    def holds(self) -> int:
        return len(self.dreams)

    @property
    def name(self) -> str:
        return f"file {self.path.name}"

    @classmethod
    def read(cls, path: Path) -> FileDreams:
        """InputError with file and line for what is wrong."""
        if not path.is_file():
            raise InputError(f"{path}: no such file; allowed: JSON lines with text and, where there is one, label")
        rows = tuple(row.dream() for _, row in read_rows(path, _DreamRow))
        if not rows:
            raise InputError(f"{path}: holds no scenario; allowed: JSON lines with text and, where there is one, label")
        return cls(path, rows)

    def dream(self, walks: Sequence[Walk], temperature: float, seed: int) -> list[Dream]:
        """Its scenarios in order, as many as there are walks."""
        return list(self.dreams[: len(walks)])
