"""The bench of all questions: subjects, arms, recordings, the profile's sizes, thresholds, exhibits and seeded randomness.

There is one `Lab` for each behavior. It computes no statistics: a question's study trains and records with it, its checks compute.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np

from harness.analysis.estimated import Answer, Estimated
from harness.arms.maker import ArmMaker
from harness.data.arm import Arm
from harness.data.arrays import Floats
from harness.data.behavior import Behavior, Pair, Split
from harness.data.errors import InputError
from harness.data.measurement import Estimate, Exhibit, Measurement, Spread
from harness.data.settings import Settings
from harness.data.subject import Subject
from harness.data.threshold import SMALLEST, Threshold
from harness.engines.precision import precision_of
from harness.experiment.exhibits import Exhibits
from harness.experiment.profile import PROFILES, Look, Placed, Sizes, across_domains, doses_of_examples, looks, shared_sizes
from harness.experiment.seed_spread import SeedSpreads
from harness.readouts.forced_choice import ForcedChoice
from harness.readouts.recordings import Recordings
from harness.store import Store
from harness.subjects.own_files import own_files

Item = TypeVar("Item")
Found = TypeVar("Found")


class ThresholdsByCheck(Protocol):
    """What an experiment needs to know of thresholds.toml."""

    def for_check(self, id: str, subject: str, behavior: str | None) -> Threshold | None:
        """The threshold of a check for a subject and a behavior, given by their names; None where the file has no entry."""
        ...


@dataclass(frozen=True)
class Lab:
    """Everything that an experiment on one behavior needs."""

    settings: Settings
    behavior: Behavior
    base: Subject
    """The model before training."""
    candidate: Subject | None
    """What this cycle trained; None: the suite trains its own arms."""
    layer_kinds: tuple[str, ...]
    """Kind of every decoder layer: "full_attention" or "linear_attention"."""
    recordings: Recordings
    """Scores, replies and recordings of subjects, kept in the store."""
    arms: ArmMaker
    """Trains arms of the base on the behavior."""
    thresholds: ThresholdsByCheck
    """Read through `threshold` and `bound` alone."""
    exhibits: Exhibits
    """Writes the plots, tables and transcripts of this run."""
    progress: Callable[[str], None]
    """Shows one line of progress to the person who waits."""
    seed_spreads: SeedSpreads = field(default_factory=SeedSpreads)
    """How much trainings differ by luck, from calibration.json; empty where this base and behavior were not calibrated."""
    look: Look | None = None
    """How much of the growing data there is, where data grow until a check is decided. None: all that the profile uses, at once."""

    @property
    def store(self) -> Store:
        """The store of this run."""
        return self.recordings.store

    @property
    def sizes(self) -> Sizes:
        """How much data the run's profile uses."""
        return PROFILES[self.settings.profile]

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of repeated trainings: the run's seed and those after it."""
        return tuple(range(self.settings.seed, self.settings.seed + self.sizes.seeds))

    @property
    def doses(self) -> tuple[int, ...]:
        """Q1's numbers of examples, rising to the full training."""
        return doses_of_examples(len(self.behavior.split("train")))

    @property
    def identical(self) -> bool:
        """Whether the candidate is base itself: then every paired difference is exactly 0."""
        return self.candidate is not None and self.candidate.digest == self.base.digest

    def on_hf(self) -> Lab:
        """This lab with the hf engine: for what no other engine can record or patch, and for numbers that are compared with those."""
        if self.recordings.engine.name == "hf":
            return self
        return replace(self, recordings=replace(self.recordings, engine=self.arms.engine))

    def at(self, look: Look | None) -> Lab:
        """This lab at one of several looks; the part of its data that an earlier look had comes from the store. None: without looks."""
        grown = shared_sizes(self.settings.profile) if look is None else look.sizes[: look.number + 1]
        return replace(self, look=look, recordings=replace(self.recordings, grown=grown))

    def looks(self) -> tuple[Look, ...]:
        """The looks at a growing number of test pairs under `full`, from as many as `quick` uses to all; none under `quick`."""
        return looks(PROFILES["quick"].test, len(self.behavior.split("test"))) if self.settings.profile == "full" else ()

    def each(self, function: Callable[[Item], Found], items: Iterable[Item]) -> list[Found]:
        """`function` of every item, in their order. The calls must not depend on each other: several workers that are at the same items
        divide them (`Store.in_any_order`).
        """
        return self.store.in_any_order([partial(function, item) for item in items])

    def rng(self, *purpose: str) -> np.random.Generator:
        """A random generator that depends on the run's seed, the behavior and the purpose, and not on what ran before."""
        return np.random.default_rng([self.settings.seed, zlib.crc32("/".join((self.behavior.name, *purpose)).encode())])

    def pairs(self, split: Split) -> tuple[Pair, ...]:
        """As many pairs of a split as the profile uses, one from every domain in turn; of the test pairs as many as this look has."""
        size = {"train": 10_000, "dev": self.sizes.dev, "test": self.look.size if self.look else self.sizes.test}[split]
        return across_domains(self.behavior.split(split), size)

    @property
    def level(self) -> float:
        """Error rate of the interval by which checks pass: .05, or at one of several looks its share of .05."""
        return 0.05 if self.look is None else self.look.share(0.05)

    def threshold(self, id: str) -> Threshold:
        """The threshold of a check for this base and behavior; a plain finding where thresholds.toml has no entry."""
        return self.thresholds.for_check(id, self.base.name, self.behavior.name) or Threshold(id, "finding", "nothing is expected of it")

    def bound(self, id: str) -> float:
        """The bound or margin of a check, for another measurement that needs it, in the check's unit. InputError where there is none."""
        threshold = self.threshold(id)
        bounds = [bound for bound in (threshold.at_least, threshold.at_most, threshold.margin) if bound is not None]
        if not bounds:
            raise InputError(
                f'thresholds.toml: ["{id}"] has no bound, and another measurement rests on it; allowed: at_least, at_most or margin'
            )
        return bounds[0]

    def smallest(self, id: str) -> float:
        """Smallest effect of interest of a finding, as a share of what it names as the whole."""
        share = self.threshold(id).smallest
        return SMALLEST if share is None else share

    def alpha(self, id: str) -> float:
        """Error rate at which this check may fail by chance, or at one of several looks that look's share of it."""
        alpha = self.threshold(id).alpha
        return alpha if self.look is None else self.look.share(alpha)

    def trained_arm(self) -> Arm:
        """The arm of the full training on the behavior, under the run's seed."""
        return self.arms.stream("trained", self.settings.seed, self.doses)[self.doses[-1]]

    def seed_spread(self, id: str, continued: bool, unit: float = 1.0) -> Spread | None:
        """How much two trainings differ by luck in check `id`; None where that was not calibrated.

        `continued`: one of the two goes on from the other. A difference of `unit` is 1 in the check's unit.
        """
        known = self.seed_spreads.of(id, continued)
        return None if known is None else known.in_units_of(unit)

    def shift(self, subject: Subject, pairs: Sequence[Pair]) -> ForcedChoice:
        """A subject's log-odds minus those of base, in nats, one value for each pair."""
        return self.recordings.forced_choice(subject, pairs).above(self.recordings.forced_choice(self.base, pairs))

    def measurement(
        self,
        id: str,
        unit: str,
        estimate: Estimate | Estimated | None = None,
        *,
        answer: Answer | str | None = None,
        reason: str | None = None,
        pairs: Sequence[Placed] = (),
        values: Floats | None = None,
        exhibits: Sequence[Exhibit] = (),
        series: Sequence[Mapping[str, Any]] = (),
        rests_on: Mapping[str, str] | None = None,
        **rest: Any,
    ) -> Measurement:
        """The measurement of a check on this lab's behavior, with its provenance.

        `values` [pairs] is what each of `pairs` contributes. The reason of an `Estimated` or an `Answer` becomes the measurement's, unless
        `reason` is given. `rests_on` is as for `provenance`. `rest` are further fields of Measurement.
        """
        found = estimate if isinstance(estimate, Estimated) else Estimated(estimate)
        said = answer if isinstance(answer, Answer) else Answer(answer)
        rest.setdefault("available", None if found.value is None else self._available(pairs, found.value.n))
        return Measurement(
            id=id,
            behavior=self.behavior.name,
            unit=unit,
            estimate=found.value,
            answer=said.words,
            reason=reason or found.reason or said.reason,
            seed=self.settings.seed,
            series=tuple(series),
            per_scenario={} if values is None else {p.id: float(v) for p, v in zip(pairs, values, strict=True)},
            clusters={} if values is None else {p.id: p.domain for p in pairs},
            provenance=self.provenance(rests_on),
            exhibits=tuple(exhibits),
            **rest,
        )

    def provenance(self, rests_on: Mapping[str, str] | None = None) -> Mapping[str, str]:
        """What determines every measurement of this lab; `rests_on` is what determines one more: its judge, sampling, corpora, tasks."""
        tested, name = self.candidate or self.base, self.recordings.engine.name
        return {
            "base": self.base.digest,
            "subject": tested.digest,
            "behavior": self.behavior.digest,
            "engine": name if name == self.settings.engine else f"{name}, for what {self.settings.engine} cannot show",
            "profile": self.settings.profile,
            "seed": str(self.settings.seed),
            "numerics": precision_of(self.recordings.engine, self.base),
            **own_files(tested),
            **(rests_on or {}),
        }

    def _available(self, pairs: Sequence[Placed], n: int) -> int | None:
        """Number of test pairs, where these are what the `n` scenarios of an estimate come from; None where it is not known."""
        test = {pair.id for pair in self.behavior.split("test")}
        return len(test) if n <= len(test) and all(pair.id in test for pair in pairs) else None
