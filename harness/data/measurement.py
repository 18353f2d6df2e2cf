"""A measurement: one number with its uncertainty and everything needed to believe or repeat it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Source = Literal["scenarios", "samples", "seeds"]
"""What sets the width of an interval: the number of scenarios, of sampled replies to each of them, or of trainings."""


@dataclass(frozen=True)
class Exhibit:
    """Something to look at in the report: a plot (png), a table or text (html, txt, json)."""

    title: str
    path: Path
    """The file; its suffix says what it is."""


@dataclass(frozen=True)
class Estimate:
    """A point estimate with two intervals: the 95 % interval, by which a check passes, and a wider one at alpha, by which it fails."""

    value: float
    """In the unit of the measurement, like all four ends."""
    low: float
    """Lower end of the 95 % interval (where data grow, of the interval at this look's share of 5 %)."""
    high: float
    """Upper end of the same interval."""
    low_alpha: float
    """Lower end of the interval at `alpha`."""
    high_alpha: float
    """Upper end of the interval at `alpha`."""
    alpha: float
    """Two-sided error rate of the wider interval: one minus its confidence."""
    n: int
    """Scenarios; tasks, documents or rollouts where those are what is repeated."""
    clusters: int
    """Independent groups of them, mostly domains; equal to `n` where nothing is clustered."""
    limited_by: Source = "scenarios"
    """What there must be more of for a narrower interval."""

    @staticmethod
    def exact(value: float, n: int, alpha: float) -> Estimate:
        """An estimate without uncertainty: a count over `n` things, or a difference of deterministic outputs."""
        return Estimate(value, value, value, value, value, alpha, n, n)


@dataclass(frozen=True)
class Spread:
    """How much two trainings that nothing is wrong with differ in what a check measures, by the luck of their seeds."""

    deviation: float
    """Root mean square of the true difference between the two, in the check's unit; the chance of sampled replies is taken out."""
    adapters: int
    """Independent trainings from which the deviation was estimated; the verdict's t has one degree of freedom fewer."""
    continued: bool = False
    """Whether it is of trainings that go on from the other one. Otherwise of trainings on the same data under different seeds."""

    @property
    def trainings(self) -> str:
        """Which trainings it is of, in words."""
        return "trainings that go on from it" if self.continued else "trainings under another seed"

    def in_units_of(self, unit: float) -> Spread:
        """The same where a difference of `unit` counts as 1."""
        return Spread(self.deviation / abs(unit), self.adapters, self.continued)


@dataclass(frozen=True)
class Level:
    """The tested subject's own value, by which cycles are compared, in a check whose estimate is a difference from an earlier cycle.

    Two such estimates may not be subtracted: the earlier cycle of the one need not be that of the other.
    """

    value: float
    unit: str
    """In words; mostly another unit than the estimate's."""


@dataclass(frozen=True)
class Measurement:
    """What an experiment hands to the gate. A value that could not be computed is None, with the reason; never 0."""

    id: str
    """The check, for example "q5.effect"; key in thresholds.toml and gate.json."""
    behavior: str
    """Name of the behavior it was measured on."""
    unit: str
    """Unit of the estimate, in words."""
    estimate: Estimate | None = None
    answer: str | None = None
    """A finding's answer in a word or two ("continuous"); None where the number is the answer, or where the data do not tell."""
    null: Mapping[str, Any] | None = None
    """What the number was compared with, by name: kind, size, maximum, rank and so on."""
    seed: int = 0
    """The seed of the run."""
    series: tuple[Mapping[str, Any], ...] = ()
    """One row for each point of the sweep behind the number (layer, dose, n, seed) with its own estimate; no row is a gate of its own."""
    per_scenario: Mapping[str, float] = field(default_factory=dict)
    """Scenario id to its contribution, for the history, for drift and for the transcripts that moved most."""
    clusters: Mapping[str, str] = field(default_factory=dict)
    """Scenario id to its domain."""
    provenance: Mapping[str, str] = field(default_factory=dict)
    """Digests and settings of everything that determined the number, by the name under which a baseline is refused where one differs."""
    exhibits: tuple[Exhibit, ...] = ()
    reason: str | None = None
    """Why there is no estimate or no answer, or why the question does not apply. Beside a finding's answer: what else to know of it."""
    not_applicable: bool = False
    """Whether the question does not apply to this model or run."""
    spread: Spread | None = None
    """How much trainings differ by luck; None in a comparison with base, which no training made, and where nothing was calibrated."""
    stepwise: bool = False
    """Whether the estimate moves in steps, as numbers of examples do; then its interval does not say how many scenarios would settle it."""
    level: Level | None = None
    """By which cycles are compared; None where the estimate itself is compared."""
    unchanged: float | None = None
    """The estimate of a subject that is as good as before, in the check's unit: what lies wholly on its worse side is a proven loss. None:
    0 where the threshold is a margin, elsewhere no earlier subject is compared."""
    available: int | None = None
    """Scenarios that exist for this check; None where more can be had."""

    @property
    def followed(self) -> Level | None:
        """What is compared from cycle to cycle: the level, else the estimate; None where neither is there."""
        if self.level is not None or self.estimate is None:
            return self.level
        return Level(self.estimate.value, self.unit)
