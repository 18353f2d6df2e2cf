"""What a gate declares of itself so that calibration can send simulated runs through it.

A question with gates has a file `calibrated.py` that defines `CALIBRATED`, which does two things. It records once, for each subject, all
that the question's gates need to know of it. And from the records of two subjects it makes the measurements of one simulated run, with the
functions that `pytest evals` uses. Calibration loops over the list in `evals/calibration/declared.py` and knows no question by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from evals.continuation import SKETCH
from harness.analysis.estimated import Estimated
from harness.analysis.sketches import goes_on
from harness.data.arrays import Flags, Floats, Names
from harness.data.measurement import Measurement, Spread
from harness.data.subject import Subject
from harness.experiment.lab import Lab, ThresholdsByCheck
from harness.experiment.seed_spread import SeedSpreads
from harness.judges.judge import Judge

Arrays = Mapping[str, NDArray[Any]]
"""Arrays by name; the file of a book keeps floats as float32 and everything else unchanged."""

FRESH = 100
"""First seed of the replies that gates are calibrated on. Doses are chosen on replies of lower seeds: measured on those again, a dose
would show the very fall that it was chosen for, luck included."""


@dataclass(frozen=True)
class MeasuredSubject:
    """One subject with all that the gates need to know of it."""

    kind: str
    """"good", or the name of a plant."""
    adapter: int
    """Seed of the good adapter that it is, or that it was made from."""
    digest: str
    arrays: Arrays
    """What every gate's `record` returned, and under SKETCH what it changed of base's weights."""
    lost: float | None = None
    """What it truly lost: of the judged rate over at least a thousand replies, or of the effect on all test pairs; None where unknown."""


@dataclass(frozen=True)
class Sampling:
    """How the subjects of one book are measured."""

    lab: Lab
    judge: Judge | None
    """Labels replies; None where none are sampled, as for models that reply slowly."""
    draws: int = 1
    """Sets of samples, each as large as the gate's own."""

    def seeds(self, samples: int) -> range:
        """Seeds of the replies, where the gate samples each scenario `samples` times."""
        return range(FRESH, FRESH + self.draws * samples)


@dataclass(frozen=True)
class Meeting:
    """One simulated run: a subject was accepted and pinned, another comes as the candidate."""

    model: str
    behavior: str
    domains: Names  # [test pairs]
    common: Arrays
    """What every gate's `common` returned."""
    replies: bool
    """Whether replies were sampled."""
    accepted: MeasuredSubject | None
    """The accepted and pinned subject; None: base, as before any cycle is accepted."""
    candidate: MeasuredSubject
    reference: MeasuredSubject
    """A third, good adapter that stands for a whole training."""
    thresholds: ThresholdsByCheck
    seed_spreads: SeedSpreads
    """How much trainings differ, estimated without these three subjects. Empty against base, and where verdicts are to do without."""

    def alpha(self, id: str) -> float:
        """The level at which a check may fail."""
        threshold = self.thresholds.for_check(id, self.model, self.behavior)
        return threshold.alpha if threshold else 0.05

    @property
    def continued(self) -> bool:
        """Whether the candidate's weights go on from the accepted ones."""
        return self.accepted is not None and (
            self.accepted.digest == self.candidate.digest or goes_on(self.accepted.arrays[SKETCH], self.candidate.arrays[SKETCH])
        )

    def spread(self, id: str, unit: float = 1.0) -> Spread | None:
        """As `Lab.seed_spread`: a difference of `unit` is 1 in the check's unit."""
        known = self.seed_spreads.of(id, self.continued)
        return None if known is None else known.in_units_of(unit)

    def measurement(
        self, id: str, unit: str, found: Estimated, *, spread: Spread | None = None, not_applicable: bool = False
    ) -> Measurement:
        """The measurement that a gate would hand in, without provenance and exhibits."""
        return Measurement(id, self.behavior, unit, estimate=found.value, reason=found.reason, spread=spread, not_applicable=not_applicable)


class Calibrated(Protocol):
    """The gates of one question."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Preflight checks that its checks rest on, beside what everything rests on."""

    @property
    def stream(self) -> int:
        """Number of the random stream that its measurements draw from; a run has one generator a stream."""

    def data(self) -> Sequence[Any]:
        """What determines its arrays beside weights and behavior, as JSON values: corpora, tasks, numbers of samples."""

    def common(self, sampling: Sampling) -> Arrays:
        """What is the same for all subjects: clusters, and what base does."""

    def record(self, sampling: Sampling, common: Arrays, subject: Subject) -> Arrays:
        """The arrays that its gates need of one subject; `common` is what every gate's `common` returned."""

    def values(self, one: MeasuredSubject) -> Mapping[str, Floats]:
        """The values that trainings are compared by, [scenarios, documents or tasks], for each check that compares two trainings."""

    def noise(self, one: MeasuredSubject) -> Mapping[str, float]:
        """Variance of the mean of `values` that is the luck of sampled replies alone, by check; a check without samples has none."""

    @property
    def by_scenario(self) -> Sequence[str]:
        """Names of the arrays whose last axis is the behavior's test pairs."""

    def measure(self, meeting: Meeting, rng: np.random.Generator) -> Iterator[Measurement]:
        """The measurements of a run, in the order of its checks."""


def chance(recorded: Flags) -> float:
    """Variance of the mean over all of `recorded` [samples, scenarios or tasks] that is due to drawing replies, scenarios being given."""
    samples, count = recorded.shape
    return float(recorded.var(axis=0, ddof=1).sum() / samples / count**2) if samples > 1 else 0.0


def drawn(recorded: Flags, samples: int, rng: np.random.Generator) -> Floats:
    """Share that is right, [scenarios or tasks], in `samples` rows of `recorded` [samples, scenarios or tasks], none drawn twice."""
    return np.asarray(recorded[rng.choice(len(recorded), samples, replace=False)].mean(axis=0))
