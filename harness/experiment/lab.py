"""The bench every question stands at: the subjects, the arms, the recordings, the sizes of the profile, and seeded randomness.

One `Lab` a behavior. It holds no statistics: a question's study trains and records with it, its checks compute.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from harness.analysis.estimated import Answer, Estimated
from harness.arms.maker import ArmMaker
from harness.data.arm import Arm
from harness.data.arrays import Floats
from harness.data.behavior import Behavior, Pair, Split
from harness.data.errors import InputError
from harness.data.measurement import Estimate, Exhibit, Measurement, SeedToSeed, Spread
from harness.data.settings import Settings
from harness.data.subject import Subject
from harness.data.threshold import Threshold
from harness.experiment.exhibits import Exhibits
from harness.experiment.profile import DOSES_OF_EXAMPLES, PROFILES, Look, Placed, Sizes, across_domains, looks
from harness.readouts.forced_choice import ForcedChoice
from harness.readouts.recordings import Recordings
from harness.store import Store


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
    exhibits: Exhibits
    """Writes the plots, tables and transcripts of this run."""
    progress: Callable[[str], None]
    seed_spreads: Mapping[str, SeedToSeed] = field(default_factory=dict)
    """Seed-to-seed spread by check id, from calibration.json; empty where this subject is not in it."""
    look: Look | None = None
    """Where data grow until a check is decided, how much of them is there. None: all that the profile uses, at once."""

    @property
    def store(self) -> Store:
        """Everything expensive, by content."""
        return self.recordings.store

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
        return across_domains(self.behavior.split(split), size)

    @property
    def level(self) -> float:
        """One minus the confidence of what is called a 95 % interval: less than .05 at one look of several, which hold together."""
        return 0.05 if self.look is None else self.look.share(0.05)

    def threshold(self, id: str) -> Threshold:
        """What thresholds.toml says of a check for this subject and behavior; a plain finding where it says nothing."""
        return self.thresholds.for_check(id, self.base.name, self.behavior.name) or Threshold(id, "finding", "nothing is expected of it")

    def bound(self, id: str) -> float:
        """The bound or margin of a check, for what else rests on it; InputError where thresholds.toml has none."""
        threshold = self.threshold(id)
        bounds = [bound for bound in (threshold.at_least, threshold.at_most, threshold.margin) if bound is not None]
        if not bounds:
            raise InputError(
                f'thresholds.toml: ["{id}"] has no bound, and another measurement rests on it; allowed: at_least, at_most or margin'
            )
        return bounds[0]

    def alpha(self, id: str) -> float:
        """The level at which this check may fail, here and now."""
        alpha = self.threshold(id).alpha
        return alpha if self.look is None else self.look.share(alpha)

    def trained_arm(self) -> Arm:
        """The suite's own full training under the run's seed."""
        return self.arms.stream("trained", self.settings.seed, self.doses)[self.doses[-1]]

    def seed_spread(self, id: str, change: Floats, unit: float = 1.0) -> Spread | None:
        """How much two trainings on the same data would differ in this check; None where it was not calibrated.

        `change` [scenarios] is the difference at hand, `unit` how much of it is 1 in the check's unit.
        """
        known = self.seed_spreads.get(id)
        return None if known is None else known.between(float(change.std(ddof=1)) / abs(unit))

    def shift(self, subject: Subject, pairs: Sequence[Pair]) -> ForcedChoice:
        """Change of a subject's log-odds against base, a value a pair."""
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
        **rest: Any,
    ) -> Measurement:
        """A measurement with its provenance; `values` [pairs] are the scenarios' contributions.

        An `Estimated` without a value, or an `Answer` without words, brings its reason along; `reason`, where given, goes first.
        """
        found = estimate if isinstance(estimate, Estimated) else Estimated(estimate)
        said = answer if isinstance(answer, Answer) else Answer(answer)
        tested, name = self.candidate or self.base, self.recordings.engine.name
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
