"""A waiver: a person's word that one gate shall not block one cycle, with the reason and the day it ends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

WaiverState = Literal["used", "not needed", "expired"]
"""What became of a waiver in a run. not needed: the gate passed without it."""


@dataclass(frozen=True)
class Waiver:
    """One entry of waivers.toml. It keeps a failing or inconclusive gate from blocking and changes no verdict."""

    check: str
    """The gate's id, for example "q6.perplexity"."""
    cycle: str
    """Name of the cycle it is for."""
    expires: date
    """The last day on which it holds."""
    reason: str
    """Why, as a person wrote it."""
    behavior: str | None = None
    """Name of the behavior it is limited to; None: every behavior."""

    def expired(self, today: date) -> bool:
        """Whether its last day is over."""
        return today > self.expires

    def covers(self, check: str, behavior: str | None, cycle: str) -> bool:
        """Whether it is about this gate, behavior and cycle, expired or not."""
        return (self.check, self.cycle) == (check, cycle) and self.behavior in (None, behavior)

    @property
    def key(self) -> str:
        """The check's key as in gate.json: id, and the behavior in brackets where it is limited to one."""
        return self.check if self.behavior is None else f"{self.check}[{self.behavior}]"
