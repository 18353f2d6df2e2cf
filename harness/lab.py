"""What an experiment works with: the subjects, the arms, the recordings, the sizes of the profile, and seeded randomness.

One `Lab` a behavior; every question's conftest.py takes it and returns measurements.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.analysis.spending import shares
from harness.arms import ArmMaker
from harness.data.arm import Arm
from harness.data.behavior import Behavior, Pair, Split
from harness.data.measurement import Alike, Estimate, Exhibit, Measurement, Spread
from harness.data.settings import Settings
from harness.data.subject import Subject
from harness.data.threshold import Threshold
from harness.forced_choice import ForcedChoice
from harness.recordings import Recordings

DOSES_OF_EXAMPLES = (1, 5, 10, 20, 50)
"""Numbers of training examples of Q1's sweep; the last is the full training every other question uses."""


class Placed(Protocol):
    """A scenario with its id and its cluster: a pair of a behavior, or a dreamed scenario."""

    @property
    def id(self) -> str: ...

    @property
    def domain(self) -> str: ...


@dataclass(frozen=True)
class Sizes:
    """How much of everything a profile uses. Scenarios are spread evenly over domains."""

    test: int
    dev: int
    seeds: int
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


class ThresholdsByCheck(Protocol):
    """What an experiment needs to know of thresholds.toml."""

    def for_check(self, id: str, subject: str, behavior: str | None) -> Threshold | None: ...


@dataclass(frozen=True)
class Lab:
    """Everything an experiment on one behavior needs; it holds no thresholds of its own."""

    settings: Settings
    behavior: Behavior
    base: Subject
    candidate: Subject | None
    layer_kinds: tuple[str, ...]
    recordings: Recordings
    arms: ArmMaker
    thresholds: ThresholdsByCheck
    exhibits: Path
    """Folder for plots and transcripts of this run."""
    progress: Callable[[str], None]
    alike: Mapping[str, Alike] = field(default_factory=dict)
    """By check, how much two trainings alike differ: from calibration.json, empty where this subject is not in it."""
    look: Look | None = None
    """Where data grow until a check is decided, how much of them is there. None: all that the profile uses, at once."""

    @property
    def sizes(self) -> Sizes:
        return PROFILES[self.settings.profile]

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(range(self.settings.seed, self.settings.seed + self.sizes.seeds))

    @property
    def doses(self) -> tuple[int, ...]:
        """Q1's numbers of examples, as far as the behavior has train pairs; all of them where it has fewer than the most."""
        available = len(self.behavior.split("train"))
        return tuple(n for n in DOSES_OF_EXAMPLES if n < available) + ((available,) if available <= DOSES_OF_EXAMPLES[-1] else ())

    @property
    def identical(self) -> bool:
        """Whether the candidate is base itself: then every paired difference is zero, a proven "no change"."""
        return self.candidate is not None and self.candidate.digest == self.base.digest

    def on_hf(self) -> Lab:
        """This lab with the engine that shows everything, for what no other can record or patch, and what is compared with that."""
        if self.recordings.engine.name == "hf":
            return self
        return replace(self, recordings=replace(self.recordings, engine=self.arms.engine))

    def at(self, look: Look | None) -> Lab:
        """This lab at one look of several; what an earlier look had is taken from the store. None: for what does not grow."""
        grown = () if look is None else look.sizes[: look.number + 1]
        return replace(self, look=look, recordings=replace(self.recordings, grown=grown))

    def looks(self) -> tuple[Look, ...]:
        """Under `full`, at test pairs from as many as `quick` uses to all there are; under `quick` none: it measures once."""
        return looks(PROFILES["quick"].test, len(self.behavior.split("test"))) if self.settings.profile == "full" else ()

    def rng(self, *purpose: str) -> np.random.Generator:
        """A generator that depends on the run's seed, the behavior and the purpose, on nothing else that ran."""
        return np.random.default_rng([self.settings.seed, zlib.crc32("/".join((self.behavior.name, *purpose)).encode())])

    def pairs(self, split: Split) -> tuple[Pair, ...]:
        """As many pairs of a split as the profile uses, every domain in turn; of the test pairs as many as this look has."""
        size = {"train": 10_000, "dev": self.sizes.dev, "test": self.look.size if self.look else self.sizes.test}[split]
        return spread(self.behavior.split(split), size)

    @property
    def level(self) -> float:
        """One minus the confidence of what is called a 95 % interval: less than .05 at one look of several, which hold together."""
        return 0.05 if self.look is None else self.look.share(0.05)

    def alpha(self, id: str) -> float:
        """The level at which this check may fail, here and now."""
        threshold = self.thresholds.for_check(id, self.base.name, self.behavior.name)
        alpha = threshold.alpha if threshold else 0.05
        return alpha if self.look is None else self.look.share(alpha)

    def trained_arm(self) -> Arm:
        """The suite's own full training under the run's seed."""
        return self.arms.stream("trained", self.settings.seed, self.doses)[self.doses[-1]]

    def spread(self, id: str, change: NDArray[np.float64], unit: float = 1.0) -> Spread | None:
        """How much trainings alike would differ in this check; `change` [scenarios] is the difference at hand, `unit` what 1 is of it."""
        known = self.alike.get(id)
        return None if known is None else known.between(float(change.std(ddof=1)) / abs(unit))

    def shift(self, subject: Subject, pairs: Sequence[Pair]) -> ForcedChoice:
        """Change of a subject's log-odds against base, a value a pair."""
        return self.recordings.forced_choice(subject, pairs).above(self.recordings.forced_choice(self.base, pairs))

    def measurement(
        self,
        id: str,
        unit: str,
        estimate: Estimate | None = None,
        *,
        pairs: Sequence[Placed] = (),
        values: NDArray[np.float64] | None = None,
        exhibits: Sequence[Exhibit] = (),
        series: Sequence[Mapping[str, Any]] = (),
        **rest: Any,
    ) -> Measurement:
        """A measurement with its provenance; `values` [pairs] are the scenarios' contributions."""
        tested, name = self.candidate or self.base, self.recordings.engine.name
        return Measurement(
            id=id,
            behavior=self.behavior.name,
            unit=unit,
            estimate=estimate,
            seed=self.settings.seed,
            series=tuple(series),
            per_scenario={} if values is None else {p.id: float(v) for p, v in zip(pairs, values, strict=True)},
            clusters={} if values is None else {p.id: p.domain for p in pairs},
            provenance={
                "base": self.base.digest,
                "subject": tested.digest,
                "behavior": self.behavior.digest,
                "engine": name if name == self.settings.engine else f"{name}, for what {self.settings.engine} cannot show",
                "profile": self.settings.profile,
            },
            exhibits=tuple(exhibits),
            **rest,
        )


def domains_of(pairs: Sequence[Pair]) -> NDArray[np.str_]:
    """The cluster of every pair."""
    return np.array([pair.domain for pair in pairs])


def spread(pairs: Sequence[Pair], size: int) -> tuple[Pair, ...]:
    """At most `size` pairs, taking every domain in turn, in an order that depends on the pairs alone."""
    by_domain: dict[str, list[Pair]] = {}
    for pair in pairs:
        by_domain.setdefault(pair.domain, []).append(pair)
    rounds = max((len(group) for group in by_domain.values()), default=0)
    turns = [group[i] for i in range(rounds) for group in by_domain.values() if i < len(group)]
    return tuple(turns[:size])
