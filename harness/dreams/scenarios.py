"""Dreamed scenarios with their provenance, collected from a dream loop: readable, new, and labeled before anybody answers them.

What a loop writes is kept if it is a text of some words, not gibberish, and neither repeats another scenario nor a prompt of the
behavior's own pairs. Near-duplicates share most of their word pairs (Jaccard index, Broder 1997).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from harness.data.behavior import Message
from harness.dreams.difficulty import LEVELS, Difficulty, DifficultyModel
from harness.dreams.walk import Walk
from harness.judges.embedded import is_gibberish

SHORTEST, LONGEST = 4, 80
"""Words of a scenario."""
ROUNDS = 4
"""How often a loop is asked again for what was not usable."""
ALIKE = 0.7
"""Jaccard index of word pairs from which two scenarios count as one."""


class DreamError(RuntimeError):
    """The dream loop gave no scenarios, or too few. What rests on them is inconclusive, with this reason."""


@dataclass(frozen=True)
class Dream:
    """What a loop wrote for one walk."""

    text: str
    label: Difficulty | None = None
    """A difficulty that the loop, or another model, had given it; None: the suite's own model of difficulty gives one."""
    seeds: tuple[str, ...] | None = None
    """What it says it was dreamed from; None: the walk it was asked for."""


class DreamLoop(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def holds(self) -> int | None:
        """How many scenarios it holds, the same whatever it is asked: then there is no temperature, no second round and no control set.

        None: it writes new ones as asked.
        """
        ...

    def dream(self, walks: Sequence[Walk], temperature: float, seed: int) -> list[Dream]:
        """One dream a walk, in order; an empty walk asks for a scenario without a seed. Raises DreamError."""
        ...


@dataclass(frozen=True)
class Scenario:
    """A user's turn that somebody is to be trained or tested on."""

    id: str
    text: str
    seeds: tuple[str, ...]
    """Nodes of the walk it came from; empty for the control set."""
    label: Difficulty
    labeled_by: str
    """"rubric" (the suite's model of it), or the dream loop's name where it brought a label."""

    @property
    def messages(self) -> tuple[Message, ...]:
        return (Message("user", self.text),)

    @property
    def domain(self) -> str:
        """Scenarios dreamed from one memory belong together."""
        return self.seeds[-1] if self.seeds else self.id

    @property
    def level(self) -> int:
        """0 obvious, 1 middling, 2 subtle."""
        return LEVELS.index(self.label)


@dataclass(frozen=True)
class Collected:
    """What was kept, and how many dreams were not."""

    scenarios: tuple[Scenario, ...]
    unreadable: int
    repeated: int


def collect(
    loop: DreamLoop,
    walk: Callable[[int], Sequence[Walk]],
    wanted: int,
    difficulty: DifficultyModel,
    *,
    temperature: float,
    seed: int,
    known: Sequence[str] = (),
    prefix: str = "dream",
) -> Collected:
    """`wanted` usable dreams, or as many as a few rounds gave; what was not usable is asked for again, with new walks (`walk(count)`).

    `known` are texts that they may not repeat. Raises DreamError as the loop does.
    """
    seen = [_pairs_of(text) for text in known]
    kept: list[Scenario] = []
    unreadable = repeated = 0
    wanted = wanted if loop.holds is None else min(wanted, loop.holds)
    for round in range(ROUNDS if loop.holds is None else 1):
        asked = walk(wanted - len(kept))
        for seeds, dream in zip(asked, loop.dream(asked, temperature, seed + round), strict=True):
            text = " ".join(dream.text.split())
            if not readable(text):
                unreadable += 1
                continue
            pairs = _pairs_of(text)
            if any(_alike(pairs, other) for other in seen):
                repeated += 1
                continue
            seen.append(pairs)
            by = "rubric" if dream.label is None else loop.name
            source = tuple(node.id for node in seeds) if dream.seeds is None else dream.seeds
            kept.append(Scenario(f"{prefix}-{len(kept) + 1:03}", text, source, dream.label or difficulty.labels([text])[0], by))
        if len(kept) == wanted:
            break
    return Collected(tuple(kept), unreadable, repeated)


def readable(text: str) -> bool:
    """Whether it is a text that somebody might say: some words, none of them over and over."""
    return SHORTEST <= len(text.split()) <= LONGEST and not is_gibberish(text)


def _pairs_of(text: str) -> frozenset[tuple[str, str]]:
    words = re.findall(r"[a-z']+|\d+", text.lower())
    return frozenset(pairwise(words))


def _alike(one: frozenset[tuple[str, str]], other: frozenset[tuple[str, str]]) -> bool:
    return len(one & other) >= ALIKE * max(len(one | other), 1)
