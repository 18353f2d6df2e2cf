"""Three dream loops: the embedded one, a program of the user's, and a file.

The embedded loop asks a model for a situation about a thing that the walked memories mention, and keeps what the user says in it. A third
of the requests ask for a clear direction, a third for a hidden one, and a third leave it open. Scenarios are as good as the model that
writes them: the shipped model knows the form and a few thousand words (and no system messages); smollm2-135m writes stories about
directions instead of directions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from harness.agents.json_lines import CommandFailure, JsonLinesCommand
from harness.behaviors.rows import Strict, read_rows
from harness.data.behavior import Message
from harness.data.errors import InputError
from harness.data.subject import Subject
from harness.dreams.difficulty import Difficulty
from harness.dreams.scenarios import Dream, DreamError
from harness.dreams.walk import Walk
from harness.readouts.recordings import Recordings

KINDS = ("clear ", "", "hidden ")
"""Adjectives of the requests, one drawn for each."""
TASK = Message("system", "You write what a user says to an assistant: the user's own words and nothing else, one to three sentences.")
"""System message of every request."""
MOST_TOKENS = 100
"""Longest answer, in tokens."""
_SPEAKS = re.compile(r"\b[Tt]he user says:\s*")
_OF_THE_TALK = (
    "reply|answer|request|question|end|start|wish|first|second|whole|opening|asker|other|middle|one|same|next|last|most|way|words?|person|"
    "page|figure|best|matter|thing|talk|text|lines?|sentence|tone|assistant|entry|entries|links?|subject|new|old|front|back|full|final|"
    "finest|deepest|formal|corrected|undersigned|bottom|top|north|south|royal|older|sewing|two|three"
)
"""Nouns that memories of conversations mention and that are no things to give a direction about."""
_THING = re.compile(rf"\b(?:the|a|an) (?!(?:{_OF_THE_TALK})\b)([a-z]{{3,}})\b(?! of\b)", re.IGNORECASE)


@dataclass(frozen=True)
class EmbeddedDreams:
    """Scenarios written by a model, usually the base subject itself."""

    recordings: Recordings
    """Samples the model's replies and keeps them in the store."""
    subject: Subject
    """The model that writes."""
    holds = None

    @property
    def name(self) -> str:
        return f"embedded-{self.subject.name}"

    def dream(self, walks: Sequence[Walk], temperature: float, seed: int) -> list[Dream]:
        """One dream for each walk, sampled at this temperature."""
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
    """A thing that the last memory of the walk mentions ("the letter"), or else the memory before it. None where no memory names one."""
    for node in reversed(walk):
        things = [] if node.kind == "pattern" else [found.lower() for found in _THING.findall(node.text)]
        if things:
            return f"the {things[rng.integers(len(things))]}"
    return None


def said_in(reply: str) -> str:
    """The user's turn in a written situation: the situation in the user's words, followed by what the user says."""
    return _SPEAKS.sub("", reply).strip().strip('"“”')


class _DreamRow(Strict):
    text: str
    label: Difficulty | None = None
    seeds: tuple[str, ...] | None = None

    def dream(self) -> Dream:
        return Dream(self.text, self.label, self.seeds)


@dataclass(frozen=True)
class CommandDreams:
    """Scenarios written by a program of the user's; docs/agents.md says what it reads and answers."""

    command: JsonLinesCommand
    holds = None

    @property
    def name(self) -> str:
        return f"command {self.command.command}"

    def dream(self, walks: Sequence[Walk], temperature: float, seed: int) -> list[Dream]:
        """One dream for each walk, as the program answers it. DreamError where it fails."""
        requests = [{"seeds": [asdict(node) for node in walk], "temperature": temperature, "seed": seed} for walk in walks]
        try:
            return [row.dream() for row in self.command.ask(requests, _DreamRow)]
        except CommandFailure as failure:
            raise DreamError(f"dream loop: {failure}") from None


@dataclass(frozen=True)
class FileDreams:
    """Scenarios that were written earlier, from a file of JSON lines with `text` and, where known, `label` and `seeds`."""

    path: Path
    dreams: tuple[Dream, ...]
    """In the order of the file."""

    @property
    def holds(self) -> int:
        """Number of scenarios in the file."""
        return len(self.dreams)

    @property
    def name(self) -> str:
        return f"file {self.path.name}"

    @classmethod
    def read(cls, path: Path) -> FileDreams:
        """All scenarios of a file. InputError with file and line for the first thing that is wrong, or where there is none."""
        if not path.is_file():
            raise InputError(f"{path}: no such file; allowed: JSON lines with text and, where there is one, label")
        rows = tuple(row.dream() for _, row in read_rows(path, _DreamRow))
        if not rows:
            raise InputError(f"{path}: holds no scenario; allowed: JSON lines with text and, where there is one, label")
        return cls(path, rows)

    def dream(self, walks: Sequence[Walk], temperature: float, seed: int) -> list[Dream]:
        """The first scenarios of the file, as many as there are walks; walks, temperature and seed change nothing."""
        return list(self.dreams[: len(walks)])
