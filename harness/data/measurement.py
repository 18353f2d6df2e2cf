"""A measurement: one number with its uncertainty and everything needed to believe or repeat it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Exhibit:
    """Something to look at in the report: a plot (png), a table or text (html, txt, json)."""

    title: str
    path: Path


@dataclass(frozen=True)
class Estimate:
    """A point estimate with two intervals: 95 %, and the one at the gate's own alpha (equal where alpha is .05)."""

    value: float
    low: float
    high: float
    low_alpha: float
    high_alpha: float
    alpha: float
    n: int
    """Scenarios (or whatever the unit of replication is)."""
    clusters: int
    """Independent groups among them; equals n where nothing is clustered."""

    @staticmethod
    def exact(value: float, n: int, alpha: float) -> Estimate:
        """A number without uncertainty: a count over `n` things, or a difference of deterministic outputs."""
        return Estimate(value, value, value, value, value, alpha, n, n)


@dataclass(frozen=True)
class Spread:
    """Seed-to-seed spread of one comparison: how much two trainings on the same data under two seeds differ in what a check measures."""

    deviation: float
    """Standard deviation of the difference, in the check's unit: the root of 2 times that of single trainings."""
    adapters: int
    """Independent trainings it was estimated from."""


@dataclass(frozen=True)
class SeedToSeed:
    """What calibration knows of trainings on the same data under different seeds, before two subjects are compared."""

    deviation: float
    """Standard deviation of the mean difference, in the check's unit."""
    relative: float
    """Root mean square of the mean difference over the standard deviation of the difference over scenarios."""
    adapters: int

    def between(self, scatter: float) -> Spread:
        """The spread for two subjects whose difference has the standard deviation `scatter` over scenarios, in the check's unit.

        Two trainings that hardly differ scenario by scenario, as when one went on from the other, cannot differ much by luck: the smaller
        of the two accounts counts.
        """
        return Spread(min(self.deviation, self.relative * scatter), self.adapters)


@dataclass(frozen=True)
class Measurement:
    """What an experiment hands to the gate. A value that could not be computed is None, with the reason; never 0."""

    id: str
    """For example "q5.effect"; key in thresholds.toml and gate.json."""
    behavior: str
    unit: str
    estimate: Estimate | None = None
    answer: str | None = None
    """A finding's answer in a word or two ("continuous"); None where the number is the answer."""
    null: Mapping[str, Any] | None = None
    """What the number was held against: kind, size, maximum, rank, ..."""
    seed: int = 0
    series: tuple[Mapping[str, Any], ...] = ()
    """Cells of the sweep (layer, dose, n, seed) with their own estimates; never gates of their own."""
    per_scenario: Mapping[str, float] = field(default_factory=dict)
    """Scenario id to its contribution, for history, drift and the transcripts that moved most."""
    clusters: Mapping[str, str] = field(default_factory=dict)
    """Scenario id to its domain."""
    provenance: Mapping[str, str] = field(default_factory=dict)
    """Digests and settings of everything that determined the number."""
    exhibits: tuple[Exhibit, ...] = ()
    reason: str | None = None
    """Why there is no estimate (inconclusive), or why the question does not apply."""
    not_applicable: bool = False
    spread: Spread | None = None
    """None where the comparison is with base, which no training made, or where it was not calibrated."""
    stepwise: bool = False
    """Whether the estimate moves in steps (numbers of examples), so that no number of scenarios follows from its interval."""
