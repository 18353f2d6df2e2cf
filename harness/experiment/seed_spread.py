"""Reads calibration.json, which `python -m harness calibrate` writes, and the part of it that verdicts use: how much trainings differ.

Two kinds of pairs are known by check: trainings on the same data under different seeds ("retrained"), and trainings that go on from the
other one with more data of the same kind ("continued"), which differ much less. A calibration of other weights, another behavior or
another profile is not used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.data.errors import InputError
from harness.data.measurement import Spread

SCHEMA = 2
"""Version of the file's format."""


@dataclass(frozen=True)
class SeedSpreads:
    """How much two trainings differ by luck, by check id, in the unit of the check's values (nats, bits per byte, shares)."""

    retrained: Mapping[str, Spread] = field(default_factory=dict)
    """On the same data under different seeds."""
    continued: Mapping[str, Spread] = field(default_factory=dict)
    """One goes on from the other, on more data of the same kind."""

    def of(self, id: str, continued: bool) -> Spread | None:
        """That of a check; None where it was not calibrated."""
        return (self.continued if continued else self.retrained).get(id)


def read_calibration(path: Path) -> dict[str, Any]:
    """The file's content; a calibration without subjects where there is no file. InputError of one line where it is no calibration."""
    if not path.exists():
        return {"schema": SCHEMA, "subjects": {}}
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA or not isinstance(content["subjects"], dict):
            raise KeyError("schema")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a calibration ({type(error).__name__}: {error}); make it with python -m harness calibrate") from None
    return content


def seed_spreads_of(path: Path, base: str, behavior: str, profile: str) -> SeedSpreads:
    """The spreads of a base and a behavior, given by their digests; empty where they were not calibrated.

    InputError where the file is no calibration.
    """
    for one in read_calibration(path)["subjects"].values():
        if (one.get("base"), one.get("behavior"), one.get("profile")) == (base, behavior, profile):
            return SeedSpreads(
                {id: Spread(**known) for id, known in one["retrained"].items()},
                {id: Spread(**known, continued=True) for id, known in one["continued"].items()},
            )
    return SeedSpreads()
