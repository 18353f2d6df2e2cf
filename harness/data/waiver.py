"""A waiver: a person's word that one gate shall not block one cycle, with the reason and the day it ends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

WaiverState = Literal["used", "not needed", "expired"]


@dataclass(frozen=True)
class Waiver:
    """One entry of waivers.toml. It keeps a failing or inconclusive gate from blocking and changes no verdict."""

    check: str
    """The gate's id, for example "q6.perplexity"."""
    cycle: str
    expires: date
    """The last day on which it holds."""
    reason: str
    behavior: str | None = None
    """None: whatever the behavior."""

    def expired(self, today: date) -> bool:
        return today > self.expires

    def covers(self, check: str, behavior: str | None, cycle: str) -> bool:
        """Whether it is about this gate in this cycle, expired or not."""
        return (self.check, self.cycle) == (check, cycle) and self.behavior in (None, behavior)

    @property
    def key(self) -> str:
        return self.check if self.behavior is None else f"{self.check}[{self.behavior}]"
