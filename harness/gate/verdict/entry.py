"""An entry: one check of one behavior as it stands in gate.json, with the measurement it came from.

Entries are made where the test runs and travel to the xdist controller as JSON, so everything in them survives that trip:
numbers that are not finite become None, paths become text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import date
from pathlib import Path
from typing import Any

from harness.data.measurement import Estimate, Exhibit, Level, Measurement, Spread
from harness.data.threshold import Kind, Threshold
from harness.data.verdict import Outcome, Verdict
from harness.data.waiver import Waiver

SCHEMA = 1
"""Version of the format of gate.json, whose rows are `Entry.check`; `rejudge` reads no other version."""

SEVERITY: tuple[Outcome, ...] = ("fail", "error", "inconclusive", "pass", "settled", "not_applicable")
"""From the worst to the mildest: the verdict over several entries is the first of these that occurs."""


def worst(outcomes: list[Outcome]) -> Outcome | None:
    """The verdict over several outcomes: the worst of them; None where there are none."""
    return min(outcomes, key=SEVERITY.index, default=None)


@dataclass(frozen=True)
class Entry:
    """A check with its verdict, and with everything that the reports show of it."""

    id: str
    """Question and check, "q5.effect"."""
    behavior: str | None
    """The behavior's name; None for a check that is about no behavior."""
    kind: Kind
    """What thresholds.toml makes of it; a finding where that does not name it."""
    verdict: Verdict
    measurement: Measurement | None = None
    """None where the instrument broke before anything was measured."""
    threshold: Threshold | None = None
    """What is expected of it, overrides applied; None where nothing is."""
    nodeid: str | None = None
    """The test that is about this check; None for a preflight entry that came along with another test."""
    seconds: float | None = None
    """Duration of its test, setup and teardown included; None where it has no test of its own."""
    needs: tuple[str, ...] = ()
    """Ids of the preflight checks it rests on."""
    waiver: Waiver | None = None
    """The waiver that keeps it from blocking although its verdict stands; None where there is none."""

    @property
    def key(self) -> str:
        """Identity in gate.json and in the history."""
        return self.id if self.behavior is None else f"{self.id}[{self.behavior}]"

    @property
    def question(self) -> str:
        """The part of the id before the dot."""
        return self.id.split(".")[0]

    def check(self) -> dict[str, Any]:
        """The row of gate.json: numbers as numbers, whatever is missing None."""
        measurement = self.measurement or Measurement(self.id, self.behavior or "", "")
        estimate = measurement.estimate
        null = None if measurement.null is None else plain(dict(measurement.null))
        return {
            "id": self.id,
            "key": self.key,
            "question": self.question,
            "behavior": self.behavior,
            "kind": self.kind,
            "verdict": self.verdict.outcome,
            "proven_loss": self.verdict.proven_loss,
            "answer": self.verdict.answer,
            "estimate": None if estimate is None else plain(estimate.value),
            "low": None if estimate is None else plain(estimate.low),
            "high": None if estimate is None else plain(estimate.high),
            "low_alpha": None if estimate is None else plain(estimate.low_alpha),
            "high_alpha": None if estimate is None else plain(estimate.high_alpha),
            "unit": measurement.unit or None,
            "n": None if estimate is None else plain(estimate.n),
            "n_to_resolve": self.verdict.n_to_resolve,
            "limited_by": None if estimate is None else estimate.limited_by,
            "available": measurement.available,
            "level": None if measurement.level is None else plain(asdict(measurement.level)),
            "unchanged": plain(measurement.unchanged),
            "threshold": None if self.threshold is None else plain(asdict(self.threshold)),
            "null": null,
            "series": [plain(dict(cell)) for cell in measurement.series],
            "seed": None if self.measurement is None else plain(measurement.seed),
            "seconds": self.seconds,
            "nodeid": self.nodeid,
            "answer_in_words": measurement.answer,
            "reason": measurement.reason,
            "spread": None if measurement.spread is None else plain(asdict(measurement.spread)),
            "stepwise": measurement.stepwise,
            "needs": list(self.needs),
            "waiver": None if self.waiver is None else plain(asdict(self.waiver)),
            "message": self.verdict.message,
        }

    def dumps(self) -> str:
        """JSON text that `loads` reads back."""
        return json.dumps(plain(asdict(self)), allow_nan=False)

    @staticmethod
    def loads(text: str) -> Entry:
        """The entry that `dumps` wrote; numbers that were not finite are missing in it."""
        raw: dict[str, Any] = json.loads(text)
        verdict, threshold, waiver = Verdict(**raw["verdict"]), raw["threshold"], raw["waiver"]
        return Entry(
            **{
                **raw,
                "verdict": verdict,
                "threshold": None if threshold is None else Threshold(**threshold),
                "measurement": _measurement(raw["measurement"]),
                "needs": tuple(raw["needs"]),
                "waiver": None if waiver is None else Waiver(**{**waiver, "expires": date.fromisoformat(waiver["expires"])}),
            }
        )


def _measurement(raw: Mapping[str, Any] | None) -> Measurement | None:
    if raw is None:
        return None
    estimate = raw["estimate"]
    whole = estimate is not None and all(estimate[part.name] is not None for part in fields(Estimate))
    bare = Measurement(**{**raw, "estimate": None, "exhibits": (), "series": tuple(raw["series"])})
    exhibits = tuple(Exhibit(exhibit["title"], Path(exhibit["path"])) for exhibit in raw["exhibits"])
    spread = None if raw["spread"] is None else Spread(**raw["spread"])
    level = None if raw["level"] is None or raw["level"]["value"] is None else Level(**raw["level"])
    return replace(bare, estimate=Estimate(**estimate) if whole else None, exhibits=exhibits, spread=spread, level=level)


def plain(value: Any) -> Any:
    """`value` as JSON knows it: numpy's scalars and arrays unwrapped, numbers that are not finite None, anything else as text."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(inner) for inner in value]
    unwrap = getattr(value, "tolist", None)
    return plain(unwrap()) if callable(unwrap) else str(value)
