"""How much data a profile uses, which scenarios these are, and in which steps data grow under `--profile full`.

Scenarios are taken from every domain in turn, so that a smaller number of them covers the same domains as a larger one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from harness.analysis.spending import shares
from harness.data.arrays import Names

DOSES_OF_EXAMPLES = (1, 5, 10, 20, 50)
"""Numbers of training examples in Q1's sweep; the last is the full training that all other questions use."""


class Placed(Protocol):
    """A scenario with its domain: a pair of a behavior, or a dreamed scenario."""

    @property
    def id(self) -> str:
        """Unique among the scenarios of a check."""
        ...

    @property
    def domain(self) -> str:
        """What intervals resample as a whole."""
        ...


AnyPlaced = TypeVar("AnyPlaced", bound=Placed)


@dataclass(frozen=True)
class Sizes:
    """How much data a profile uses. Where fewer pairs or documents exist, it uses all of them."""

    test: int
    """Test pairs."""
    dev: int
    """Dev pairs."""
    seeds: int
    """Trainings of each kind of arm, each under a seed of its own."""
    prose: int
    """Documents of unrelated text."""


PROFILES = {
    "quick": Sizes(test=64, dev=70, seeds=3, prose=24),
    "full": Sizes(test=10_000, dev=10_000, seeds=8, prose=10_000),
}
"""The sizes of each profile. Ten thousand means all."""


RECORDED = 40
"""Test pairs on which Q3 and Q7 record and patch: the first of those that all others score."""


def shared_sizes(profile: str) -> tuple[int, ...]:
    """Sizes by which lists of test pairs are kept in the store, so that RECORDED of them and all of them share what they have in common.

    Empty where lists grow from look to look, by sizes of their own.
    """
    most = PROFILES[profile].test
    return (RECORDED, most) if profile == "quick" else ()


@dataclass(frozen=True)
class Look:
    """One of several looks at data that grow until a check is decided. Over all looks together a check errs at most at its error rate."""

    sizes: tuple[int, ...]
    """Scenarios, or samples of each task, at every look; they rise, and the last is all there are."""
    number: int
    """Which of the looks this is, counted from 0."""

    @property
    def size(self) -> int:
        """Scenarios, or samples of each task, at this look."""
        return self.sizes[self.number]

    def share(self, level: float) -> float:
        """The part of the error rate `level` that this look may spend (`harness.analysis.spending`)."""
        return shares(level, self.sizes)[self.number]


def looks(fewest: int, most: int) -> tuple[Look, ...]:
    """Looks at `fewest` scenarios, then at twice as many each time, and last at `most`.

    The look before the last is left out where it would have more than two thirds of `most`.
    """
    sizes = [min(fewest, most)]
    while 3 * sizes[-1] <= most:
        sizes.append(2 * sizes[-1])
    sizes = sizes if sizes[-1] == most else [*(size for size in sizes if 3 * size <= 2 * most), most]
    return tuple(Look(tuple(sizes), number) for number in range(len(sizes)))


def doses_of_examples(available: int) -> tuple[int, ...]:
    """Q1's numbers of examples where `available` train pairs exist: those below it, and all of them where they are fewer than the most."""
    return tuple(n for n in DOSES_OF_EXAMPLES if n < available) + ((available,) if available <= DOSES_OF_EXAMPLES[-1] else ())


def domains_of(scenarios: Sequence[Placed]) -> Names:
    """The domain of every scenario, [scenarios]; intervals resample whole domains."""
    return np.array([scenario.domain for scenario in scenarios])


def across_domains(scenarios: Sequence[AnyPlaced], size: int) -> tuple[AnyPlaced, ...]:
    """At most `size` scenarios, one from every domain in turn. The order depends on the scenarios alone."""
    by_domain: dict[str, list[AnyPlaced]] = {}
    for scenario in scenarios:
        by_domain.setdefault(scenario.domain, []).append(scenario)
    rounds = max((len(group) for group in by_domain.values()), default=0)
    turns = [group[i] for i in range(rounds) for group in by_domain.values() if i < len(group)]
    return tuple(turns[:size])
