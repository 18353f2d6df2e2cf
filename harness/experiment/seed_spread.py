"""Reads calibration.json, which `python -m harness calibrate` writes, and the part of it that verdicts use: the seed-to-seed spread.

The seed-to-seed spread of a check is how much two adapters trained on the same data under different seeds differ in it
(`harness.data.measurement.SeedToSeed`). A calibration of other weights, another behavior or another profile is not used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.data.errors import InputError
from harness.data.measurement import SeedToSeed

SCHEMA = 1
"""Version of the file's format."""


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


def seed_spread_of(path: Path, base: str, behavior: str, profile: str) -> Mapping[str, SeedToSeed]:
    """Seed-to-seed spread by check id of a base and a behavior, given by their digests; empty where they were not calibrated.

    InputError where the file is no calibration.
    """
    for one in read_calibration(path)["subjects"].values():
        if (one.get("base"), one.get("behavior"), one.get("profile")) == (base, behavior, profile):
            return {id: SeedToSeed(**known) for id, known in one["alike"].items()}
    return {}
