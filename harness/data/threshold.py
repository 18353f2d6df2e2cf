"""A threshold: what is expected of a measurement, with the reason a person wrote beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["gate", "check", "finding"]


@dataclass(frozen=True)
class Threshold:
    """One entry of thresholds.toml, overrides by subject and behavior already applied.

    Exactly one of `at_least`, `at_most` (superiority: the whole interval must lie beyond), `margin` (non-inferiority:
    not worse than by this much; `worse` says which direction is worse) and `expect` (a finding that blocks unless its
    answer is this one) is set; a plain finding has none of them.
    """

    id: str
    kind: Kind
    reason: str
    alpha: float = 0.05
    at_least: float | None = None
    at_most: float | None = None
    margin: float | None = None
    worse: Literal["lower", "higher"] = "lower"
    expect: str | None = None
