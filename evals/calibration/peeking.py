"""What looking again and again costs, and what the sequential rule of `--profile full` makes of it, by simulation on recorded values.

A population is what two trainings on the same data under two seeds differ by in each scenario, moved so that the truth lies on the bound. A
history draws whole domains from it, with replacement, then looks at more and more of the scenarios drawn. An interval on either side of the
truth is an error, counted at 95 % and at a gate's alpha. The same histories, moved away from the bound by the effect that the fixed rule
detects in 80 % of all cases, show what the sequential rule gives up in power, and how many scenarios it saves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from harness.analysis.intervals import mean_interval
from harness.analysis.sample import DegenerateSample
from harness.data.arrays import Floats, Integers
from harness.data.measurement import Estimate
from harness.experiment.profile import PROFILES, Look, looks

RULES = ("all scenarios, once", "looking again at full level", "looking again, level shared")
ALPHA = 0.01
"""A gate's level, larger than the shipped ones, so that a few thousand histories can count it."""
RESAMPLES = 1000


@dataclass(frozen=True)
class Peeked:
    """One rule."""

    rule: str
    errs: float
    """Share of histories in which some 95 % interval leaves out the truth."""
    errs_at_alpha: float
    """The same at ALPHA."""
    decides: float
    """Share of histories decided the right way, where the truth is an effect that the fixed rule detects in about 80 %."""
    mean_size: float
    """Scenarios drawn there, on average."""


@dataclass(frozen=True)
class Peeking:
    """All rules on the same simulated histories."""

    histories: int
    sizes: tuple[int, ...]
    """Scenarios at each look."""
    alpha: float
    rows: tuple[Peeked, ...]
    """One a rule, in the order of RULES."""


def peeking(values: Floats, domains: NDArray[Any], histories: int, seed: int) -> Peeking:
    """Simulate `histories` on `values` [scenarios, populations], each population in turn."""
    rng = np.random.default_rng(seed)
    groups = [np.flatnonzero(domains == name) for name in dict.fromkeys(domains.tolist())]
    every = looks(PROFILES["quick"].test, len(values))
    null, shifted = [], []
    for number in range(histories):
        drawn, clusters = _history(values[:, number % values.shape[1]], groups, rng)
        standard_error = _standard_error(drawn, clusters)
        effect = (stats.norm.isf(0.025) + stats.norm.isf(0.2)) * standard_error
        null.append([_at(drawn[: look.size], clusters[: look.size], look, rng) for look in every])
        shifted.append([_at(drawn[: look.size] + effect, clusters[: look.size], look, rng) for look in every])
    sizes = every[-1].sizes
    return Peeking(histories, sizes, ALPHA, tuple(_row(rule, null, shifted, sizes) for rule in RULES))


@dataclass(frozen=True)
class _Seen:
    """One look: intervals at .05 and ALPHA, and at this look's shares of them. None where the sample has no interval."""

    full: Estimate | None
    shared: Estimate | None


def _history(values: Floats, groups: Sequence[Integers], rng: np.random.Generator) -> tuple[Floats, Integers]:
    """Scenarios of resampled domains, every domain in turn as the suite draws them, around the population's mean; and their clusters."""
    members = [rng.permutation(groups[g]) for g in rng.integers(len(groups), size=len(groups))]
    turns = [(rows[i], c) for i in range(max(map(len, members))) for c, rows in enumerate(members) if i < len(rows)]
    rows, clusters = map(np.array, zip(*turns, strict=True))
    weights = np.array([len(group) for group in groups])
    by_domain = np.array([values[group].mean() for group in groups])
    return values[rows] - float(weights @ by_domain / weights.sum()), clusters


def _standard_error(drawn: Floats, clusters: Integers) -> float:
    sums = np.bincount(clusters, drawn - drawn.mean())
    return float(np.sqrt(len(sums) / (len(sums) - 1) * (sums**2).sum()) / len(drawn))


def _at(drawn: Floats, clusters: Integers, look: Look, rng: np.random.Generator) -> _Seen:
    def interval(level: float, alpha: float) -> Estimate | None:
        try:
            return mean_interval(drawn, clusters, alpha, rng, RESAMPLES, level)
        except DegenerateSample:
            return None

    return _Seen(interval(0.05, ALPHA), interval(look.share(0.05), look.share(ALPHA)))


def _row(rule: str, null: Sequence[Sequence[_Seen]], shifted: Sequence[Sequence[_Seen]], sizes: tuple[int, ...]) -> Peeked:
    def seen(history: Sequence[_Seen]) -> list[Estimate | None]:
        if rule == RULES[0]:
            return [history[-1].full]
        return [one.full if rule == RULES[1] else one.shared for one in history]

    def errs(history: Sequence[_Seen]) -> bool:
        return any(one is not None and not one.low <= 0 <= one.high for one in seen(history))

    def errs_at_alpha(history: Sequence[_Seen]) -> bool:
        return any(one is not None and not one.low_alpha <= 0 <= one.high_alpha for one in seen(history))

    ends = [next((k for k, one in enumerate(seen(h)) if one is not None and not one.low <= 0 <= one.high), None) for h in shifted]
    right = [k is not None and (found := seen(h)[k]) is not None and found.low > 0 for k, h in zip(ends, shifted, strict=True)]
    own = sizes[-1:] if rule == RULES[0] else sizes
    drawn = [own[-1] if k is None else own[k] for k in ends]
    return Peeked(
        rule,
        float(np.mean([errs(h) for h in null])),
        float(np.mean([errs_at_alpha(h) for h in null])),
        float(np.mean(right)),
        float(np.mean(drawn)),
    )
