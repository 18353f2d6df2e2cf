"""Dreamed scenarios with their provenance, collected from a dream loop: readable, new, and labeled before anybody answers them.

A dream is kept if it has a few words, is not gibberish, and repeats neither another scenario nor a prompt of the behavior's own pairs. Two
texts repeat each other where the Jaccard index of their pairs of neighboring words is at least SAME_TEXT (Broder 1997).
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
from harness.judges.wording import is_gibberish

SHORTEST, LONGEST = 4, 80
"""Fewest and most words of a scenario."""
ROUNDS = 4
"""Times a loop is asked at most, until enough of its dreams can be used."""
SAME_TEXT = 0.7
"""Jaccard index of word pairs at which two texts count as the same scenario."""


class DreamError(RuntimeError):
    """The dream loop failed, or gave too few scenarios. A check that needs them is inconclusive, with this reason."""


@dataclass(frozen=True)
class Dream:
    """What a loop wrote for one walk."""

    text: str
    """The user's turn."""
    label: Difficulty | None = None
    """Its difficulty according to the loop; None: the suite's own difficulty model labels it."""
    seeds: tuple[str, ...] | None = None
    """Ids of the nodes it was made from according to the loop; None: the nodes of the walk it was asked for."""


class DreamLoop(Protocol):
    """Something that turns walks over the memory graph into scenarios."""

    @property
    def name(self) -> str:
        """What reports call it."""
        ...

    @property
    def holds(self) -> int | None:
        """Number of scenarios where the loop has a fixed set of them. None: it writes new ones whenever it is asked.

        A loop with a fixed set is asked once; there are no temperatures and no control set.
        """
        ...

    def dream(self, walks: Sequence[Walk], temperature: float, seed: int) -> list[Dream]:
        """One dream for each walk, in order; an empty walk asks for a scenario without a seed. DreamError where the loop fails."""
        ...


@dataclass(frozen=True)
class Scenario:
    """A dream that was kept: a user's turn to be trained or tested on."""

    id: str
    text: str
    """The user's turn, with single spaces."""
    seeds: tuple[str, ...]
    """Ids of the nodes it was made from, in the walk's order; empty in the control set."""
    label: Difficulty
    labeled_by: str
    """"rubric" where the suite's difficulty model gave the label, otherwise the name of the dream loop that did."""

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation: this one turn."""
        return (Message("user", self.text),)

    @property
    def domain(self) -> str:
        """What intervals resample: scenarios whose walks ended at the same memory share a domain."""
        return self.seeds[-1] if self.seeds else self.id

    @property
    def level(self) -> int:
        """The label as a number: 0 obvious, 1 middling, 2 subtle."""
        return LEVELS.index(self.label)


@dataclass(frozen=True)
class Collected:
    """The scenarios that were kept, and how many dreams were not."""

    scenarios: tuple[Scenario, ...]
    unreadable: int
    """Dreams dropped as too short, too long or gibberish."""
    repeated: int
    """Dreams dropped as near-duplicates."""


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
    """`wanted` scenarios from a loop, or as many as ROUNDS rounds gave.

    Each round asks for as many dreams as are still missing, with new walks (`walk(count)`). `known` are texts that no scenario may repeat;
    `prefix` begins every id. Raises DreamError as the loop does.
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
            if any(_same_text(pairs, other) for other in seen):
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
    """Whether somebody might say this: SHORTEST to LONGEST words, and not the same few over and over."""
    return SHORTEST <= len(text.split()) <= LONGEST and not is_gibberish(text)


def _pairs_of(text: str) -> frozenset[tuple[str, str]]:
    words = re.findall(r"[a-z']+|\d+", text.lower())
    return frozenset(pairwise(words))


def _same_text(one: frozenset[tuple[str, str]], other: frozenset[tuple[str, str]]) -> bool:
    return len(one & other) >= SAME_TEXT * max(len(one | other), 1)
