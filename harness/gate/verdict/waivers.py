"""Reads waivers.toml, and says which gate of a run a waiver keeps from blocking.

    [[waiver]]
    check = "q6.perplexity"
    cycle = "2026-11-23"          # as given with --cycle
    expires = 2026-11-30          # the last day on which it holds
    reason = "the prose corpus holds a document of the training data; replaced next week"
    behavior = "listening"        # leave out for all

A waived gate keeps its verdict wherever that is shown. It no longer decides the exit code, and does not stand in the way of `accept`. A
broken instrument (error) cannot be waived. A file that is not there holds no waiver. Every mistake is one line: file, line, what was
found, what is allowed.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from harness.data.errors import InputError
from harness.data.verdict import Outcome
from harness.data.waiver import Waiver, WaiverState
from harness.gate.verdict.thresholds import Thresholds

CAN_BE_WAIVED: tuple[Outcome, ...] = ("fail", "inconclusive")


class _Entry(BaseModel):
    """One [[waiver]] as a person wrote it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    check: str
    cycle: str
    expires: date
    reason: str
    behavior: str | None = None


@dataclass(frozen=True)
class WaiverOfRun:
    """A waiver that names this run's cycle, and what became of it."""

    waiver: Waiver
    state: WaiverState
    """used, not needed or expired."""

    @property
    def sentence(self) -> str:
        """One line for a person."""
        waiver = self.waiver
        if self.state == "expired":
            return f"the waiver of {waiver.key} for cycle {waiver.cycle} ended on {waiver.expires}: the gate blocks again ({waiver.reason})"
        if self.state == "not needed":
            return f"the waiver of {waiver.key} for cycle {waiver.cycle} was not needed"
        return f"{waiver.key} is waived for cycle {waiver.cycle} until {waiver.expires}: {waiver.reason}"

    def row(self) -> dict[str, Any]:
        """As it stands in gate.json."""
        return {**asdict(self.waiver), "expires": self.waiver.expires.isoformat(), "state": self.state}


def load_waivers(path: Path, thresholds: Thresholds) -> tuple[Waiver, ...]:
    """Read and check the whole file; raises InputError with one line. A file that is not there holds none."""
    if not path.exists():
        return ()
    try:
        text = path.read_text(encoding="utf-8")
        tree = tomllib.loads(text)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); --waivers names a TOML file") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not TOML: {error}") from None
    lines = [number for number, line in enumerate(text.splitlines(), 1) if re.match(r"\s*\[\[\s*waiver\s*\]\]", line)]
    raw = tree.pop("waiver", [])
    if tree or not isinstance(raw, list):
        raise InputError(f"{path}:1: {', '.join(tree) or 'waiver'} is not known here; allowed: [[waiver]] tables")
    return tuple(_checked(entry, f"{path}:{line}", thresholds) for entry, line in zip(raw, lines, strict=False))


def _checked(raw: Any, where: str, thresholds: Thresholds) -> Waiver:
    try:
        entry = _Entry.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0]) if first["loc"] else "waiver"
        if first["type"] == "extra_forbidden":
            raise InputError(f'{where}: "{key}" is unknown; allowed: {", ".join(_Entry.model_fields)}') from None
        if first["type"] == "missing":
            raise InputError(f"{where}: no {key}; a waiver names check, cycle, expires and reason") from None
        raise InputError(f"{where}: {key} = {raw[key]!r}; allowed: {'a date such as 2026-11-30' if key == 'expires' else 'text'}") from None
    if isinstance(entry.expires, datetime):
        raise InputError(f"{where}: expires = {entry.expires}; allowed: a date such as 2026-11-30")
    for key in ("cycle", "reason"):
        if not getattr(entry, key).strip():
            raise InputError(f"{where}: {key} is empty; a waiver says for which cycle and why")
    if entry.check not in thresholds.gates:
        raise InputError(f"{where}: {entry.check} is no gate; allowed: {', '.join(thresholds.gates)}")
    return Waiver(entry.check, entry.cycle, entry.expires, entry.reason, entry.behavior)


def waiver_for(waivers: Iterable[Waiver], check: str, behavior: str | None, outcome: Outcome, cycle: str, today: date) -> Waiver | None:
    """The waiver that keeps this gate from blocking on this day; None where there is none, or the outcome cannot be waived."""
    if outcome not in CAN_BE_WAIVED:
        return None
    return next((each for each in waivers if each.covers(check, behavior, cycle) and not each.expired(today)), None)


def of_run(waivers: Sequence[Waiver], used: Iterable[Waiver], cycle: str, today: date) -> tuple[WaiverOfRun, ...]:
    """Every waiver that names this cycle, with what became of it. `used` are the waivers that kept a gate from blocking."""
    kept = tuple(used)

    def state(waiver: Waiver) -> WaiverState:
        if waiver.expired(today):
            return "expired"
        return "used" if waiver in kept else "not needed"

    return tuple(WaiverOfRun(waiver, state(waiver)) for waiver in waivers if waiver.cycle == cycle)
