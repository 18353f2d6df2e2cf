"""A threshold: what is expected of a measurement, with the reason a person wrote beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SMALLEST = 0.1
"""Smallest effect of interest where an entry names none: a tenth of the whole is a change that nobody would act on."""
Kind = Literal["gate", "check", "finding"]
"""gate: a training cycle is blocked on it. check: an expectation of this model. finding: an open question that blocks nothing."""


@dataclass(frozen=True)
class Threshold:
    """One entry of thresholds.toml, after overrides by profile, subject and behavior.

    Exactly one of `at_least`, `at_most`, `margin` and `expect` is set; a plain finding has none of them, and a finding may have `smallest`.
    """

    id: str
    """The check."""
    kind: Kind
    reason: str
    """Why this number, as a person wrote it."""
    alpha: float = 0.05
    """Two-sided error rate at which the check may fail by chance."""
    at_least: float | None = None
    """Superiority: the whole interval must lie above this number, in the check's unit."""
    at_most: float | None = None
    """Superiority: the whole interval must lie below this number, in the check's unit."""
    margin: float | None = None
    """Non-inferiority: the check must not be worse than before by more than this, in its unit."""
    worse: Literal["lower", "higher"] = "lower"
    """Which direction is worse; only read beside a margin."""
    expect: str | None = None
    """The answer that the finding must have; then it blocks like a check unless it has it."""
    smallest: float | None = None
    """Smallest effect of interest. In a finding, a share of what it names as the whole: an effect shown to be smaller is answered "less
    than" (None: SMALLEST, where the finding is about the size of an effect). Beside `at_least`, in the check's unit: it fails only where
    the interval shows less than this."""

    @property
    def falls(self) -> bool:
        """Whether a higher value is the worse one."""
        return self.at_most is not None or (self.margin is not None and self.worse == "higher")
