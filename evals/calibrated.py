"""What a gate declares of itself so that calibration can send simulated runs through it.

A question with gates has a file `calibrated.py` with `CALIBRATED`: what its gates need to know of a subject, measured once, and the
measurements of a run in which two subjects meet, made from what was measured by the functions that `pytest evals` uses. Calibration loops
over those (`evals/calibration/declared.py` lists them) and knows none of them by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.analysis.estimated import Estimated
from harness.data.arrays import Flags, Floats, Names
from harness.data.measurement import Measurement, SeedToSeed, Spread
from harness.data.subject import Subject
from harness.experiment.lab import Lab, ThresholdsByCheck
from harness.judges.judge import Judge

Arrays = Mapping[str, NDArray[Any]]
"""By name, as they stand in the file of a book. Floats are kept there with 32 bits, everything else as it is."""

FRESH = 100
"""First seed of the replies that gates are calibrated on. Doses are chosen by the replies of lower seeds, and on those same replies a dose
would seem to have exactly the fall that it was chosen for."""


@dataclass(frozen=True)
class MeasuredSubject:
    """One subject with all that the gates need to know of it."""

    kind: str
    """"good", or the name of a plant."""
    adapter: int
    """Seed of the good adapter that it is, or that it was made from."""
    digest: str
    arrays: Arrays
    """What every gate's `record` returned."""
    rate: float | None = None
    """Judged rate over at least a thousand replies; None where it was not measured."""


@dataclass(frozen=True)
class Sampling:
    """How the subjects of one book are measured."""

    lab: Lab
    judge: Judge | None
    """None: no replies are sampled, for models that reply slowly."""
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
    """None: base, as before any cycle is accepted."""
    candidate: MeasuredSubject
    reference: MeasuredSubject
    """A good adapter that stands for a whole training; neither of the two."""
    thresholds: ThresholdsByCheck
    seed_spreads: Mapping[str, SeedToSeed]
    """Seed-to-seed spread by check, estimated without these three; empty where base is compared with, or verdicts shall not know it."""

    def alpha(self, id: str) -> float:
        """The level at which a check may fail."""
        threshold = self.thresholds.for_check(id, self.model, self.behavior)
        return threshold.alpha if threshold else 0.05

    def spread(self, id: str, change: Floats, unit: float = 1.0) -> Spread | None:
        """`change` [scenarios] is the difference at hand, `unit` how much of it is 1 in the check's unit; as `Lab.seed_spread`."""
        known = self.seed_spreads.get(id)
        return None if known is None else known.between(float(change.std(ddof=1)) / abs(unit))

    def measurement(
        self, id: str, unit: str, found: Estimated, *, spread: Spread | None = None, not_applicable: bool = False
    ) -> Measurement:
        """As a gate would hand it in, without provenance and exhibits."""
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
        """What it needs to know of one subject; `common` holds every gate's."""

    def values(self, one: MeasuredSubject) -> Mapping[str, Floats]:
        """By check that compares two trainings: what is compared, [scenarios, documents or tasks]."""

    def unit(self, id: str, values: Floats) -> float:
        """How much of `values` [adapters, scenarios] is 1 in the unit of check `id`."""

    def measure(self, meeting: Meeting, rng: np.random.Generator) -> Iterator[Measurement]:
        """The measurements of a run, in the order of its checks."""


def drawn(recorded: Flags, samples: int, rng: np.random.Generator) -> Floats:
    """A fresh subset of `samples` of the recorded samples [samples, scenarios or tasks]: the share that is right, [scenarios or tasks]."""
    return np.asarray(recorded[rng.choice(len(recorded), samples, replace=False)].mean(axis=0))
