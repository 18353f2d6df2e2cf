"""How much of everything a profile uses, and the looks at which data that grow are looked at.

Scenarios are spread evenly over their domains, so that a smaller size is a fair part of a larger one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from harness.analysis.spending import shares
from harness.data.arrays import Names

DOSES_OF_EXAMPLES = (1, 5, 10, 20, 50)
"""Numbers of training examples of Q1's sweep; the last is the full training every other question uses."""


class Placed(Protocol):
    """A scenario with its id and its cluster: a pair of a behavior, or a dreamed scenario."""

    @property
    def id(self) -> str: ...

    @property
    def domain(self) -> str: ...


AnyPlaced = TypeVar("AnyPlaced", bound=Placed)


@dataclass(frozen=True)
class Sizes:
    """How much of everything a profile uses."""

    test: int
    """Test scenarios; all there are where they are fewer. So for `dev` and `prose`."""
    dev: int
    seeds: int
    """Trainings of a kind."""
    nulls: int
    """Random vectors, and as many label-shuffled ones."""
    prose: int
    """Documents of unrelated text."""


PROFILES = {
    "quick": Sizes(test=64, dev=70, seeds=3, nulls=19, prose=24),
    "full": Sizes(test=10_000, dev=10_000, seeds=8, nulls=39, prose=10_000),
}


@dataclass(frozen=True)
class Look:
    """One of several looks at growing data: a check is looked at until it is decided, and errs at most at its rate over all of them."""

    sizes: tuple[int, ...]
    """What each look has, rising to all there is: scenarios, or samples of every task."""
    number: int
    """From 0."""

    @property
    def size(self) -> int:
        """Scenarios, or samples of every task, at this look."""
        return self.sizes[self.number]

    @property
    def is_first(self) -> bool:
        return self.number == 0

    def share(self, level: float) -> float:
        """What this look may spend of an error rate."""
        return shares(level, self.sizes)[self.number]


def looks(fewest: int, most: int) -> tuple[Look, ...]:
    """Looks at `fewest`, then twice as many each time, the last at `most`; none of them at over two thirds of the next."""
    sizes = [min(fewest, most)]
    while 3 * sizes[-1] <= most:
        sizes.append(2 * sizes[-1])
    sizes = sizes if sizes[-1] == most else [*(size for size in sizes if 3 * size <= 2 * most), most]
    return tuple(Look(tuple(sizes), number) for number in range(len(sizes)))


def domains_of(scenarios: Sequence[Placed]) -> Names:
    """The domain of every scenario, [scenarios]: what intervals resample."""
    return np.array([scenario.domain for scenario in scenarios])


def across_domains(scenarios: Sequence[AnyPlaced], size: int) -> tuple[AnyPlaced, ...]:
    """At most `size` scenarios, taking every domain in turn, in an order that depends on the scenarios alone."""
    by_domain: dict[str, list[AnyPlaced]] = {}
    for scenario in scenarios:
        by_domain.setdefault(scenario.domain, []).append(scenario)
    rounds = max((len(group) for group in by_domain.values()), default=0)
    turns = [group[i] for i in range(rounds) for group in by_domain.values() if i < len(group)]
    return tuple(turns[:size])
