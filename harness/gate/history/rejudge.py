"""Recorded measurements judged again under the thresholds of today, without a model: which verdicts change, and why.

What was measured stays as it is: the same estimates, intervals and reasons, from the history or from a gate.json. Only thresholds, waivers
and the judging itself are new. Where a gate's new alpha is smaller than the one its interval was measured at, the verdict is an error, as
in a run: the interval at the new alpha was never recorded. Nothing is written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from harness.data.errors import InputError
from harness.data.measurement import Estimate, Measurement, Source, Spread
from harness.data.threshold import Threshold
from harness.data.verdict import Outcome, Verdict
from harness.data.waiver import Waiver
from harness.gate.history.records import cycle_names, read_cycle
from harness.gate.verdict.entry import SCHEMA, Entry, plain, worst
from harness.gate.verdict.judged import PREFLIGHT, by_id, judged, resting_on
from harness.gate.verdict.thresholds import Thresholds
from harness.gate.verdict.waivers import waiver_for

Row = Mapping[str, Any]
"""A check as it stands in gate.json."""

NO_ANSWER = "inconclusive"
"""Older versions recorded an answer that began with this word where there was none; now a missing answer is None, with the reason."""


@dataclass(frozen=True)
class Recorded:
    """What one cycle measured."""

    cycle: str
    """As given with --cycle."""
    model: str
    """As given with --model."""
    rows: tuple[Row, ...]
    """The cycle's checks, in the order in which they were recorded."""
    profile: str = "quick"
    """The profile whose thresholds hold, quick or full."""

    @property
    def subject(self) -> str:
        """The name under which thresholds.toml has overrides."""
        return Path(self.model).name


@dataclass(frozen=True)
class Judged:
    """One check, then and now."""

    before: Row
    """The check with the verdict it was recorded with."""
    after: Entry
    """The check as it is judged today."""

    @property
    def key(self) -> str:
        """Check and behavior, "q5.effect[listening]"."""
        return str(self.before["key"])

    @property
    def changed(self) -> bool:
        """Whether the verdict, the kind of check, or being waived is another one."""
        waived = self.before.get("waiver") is not None
        return (
            self.before["verdict"] != self.after.verdict.outcome
            or self.before["kind"] != self.after.kind
            or waived != (self.after.waiver is not None)
        )

    @property
    def why(self) -> str:
        """The fields of the threshold that changed, in words; where none did, what else made the verdict another one."""
        old = self.before["threshold"] or {}
        new = {} if self.after.threshold is None else plain(asdict(self.after.threshold))
        names = ("kind", "at_least", "smallest", "at_most", "margin", "worse", "expect", "alpha")
        moved = [f"{name} {_said(old.get(name))} -> {_said(new.get(name))}" for name in names if old.get(name) != new.get(name)]
        if moved:
            return ", ".join(moved) + (f" ({new['reason']})" if new.get("reason") else "")
        if self.after.waiver is not None:
            return f"waived until {self.after.waiver.expires}: {self.after.waiver.reason}"
        if self.before.get("waiver") is not None:
            return "its waiver is gone or has ended"
        if " rests on " in self.after.verdict.message or " rests on " in self.before["message"]:
            return "what it rests on is judged otherwise"
        return "the same threshold: this version judges otherwise than the one that recorded it"


def from_history(path: Path, cycle: str | None) -> Recorded:
    """The latest measurements of a cycle (default: the last one); InputError where there is nothing to judge."""
    names = cycle_names(path)
    if not names:
        raise InputError(f"{path}: no cycle is recorded there; run pytest evals first")
    found = read_cycle(path, cycle or names[-1])
    if found is None:
        raise InputError(f"cycle {cycle}: not in {path}; recorded last: {', '.join(names[-5:])}")
    rows = tuple(record.gate_row for record in found.records.values() if record.gate_row is not None)
    if not rows:
        raise InputError(f"cycle {found.name} was recorded by a version that kept too little to judge again; run it anew")
    return Recorded(found.name, found.base, rows, found.profile)


def from_gate_json(path: Path) -> Recorded:
    """The measurements of a gate.json; InputError where it is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            raise InputError(f"{path}: schema {content['schema']!r}; allowed: {SCHEMA}")
        return Recorded(content["cycle"], content["subject"]["base"], tuple(content["checks"]), content["profile"])
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not a gate.json") from None


def rejudge(recorded: Recorded, thresholds: Thresholds, waivers: Iterable[Waiver] = (), today: date | None = None) -> tuple[Judged, ...]:
    """Every check with the verdict of today, in the recorded order; `today` decides which waivers have ended."""
    known, day = tuple(waivers), today or date.today()
    entries = [_again(row, recorded.subject, thresholds.under(recorded.profile)) for row in recorded.rows]
    preflight: dict[str | None, dict[str, Entry]] = {}
    for entry in entries:
        if entry.question == PREFLIGHT:
            preflight.setdefault(entry.behavior, {}).update(by_id([entry]))
    settled = [resting_on(preflight.get(entry.behavior, {}), entry) for entry in entries]
    waived = [
        replace(entry, waiver=waiver_for(known, entry.id, entry.behavior, entry.verdict.outcome, recorded.cycle, day))
        if entry.kind == "gate"
        else entry
        for entry in settled
    ]
    return tuple(Judged(row, entry) for row, entry in zip(recorded.rows, waived, strict=True))


def verdict_before(judgments: Sequence[Judged]) -> Outcome | None:
    """The verdict over the checks that were gates when they were recorded; None where no gate said anything."""
    return worst([one.before["verdict"] for one in judgments if one.before["kind"] == "gate" and one.before["verdict"] != "not_applicable"])


def verdict_after(judgments: Sequence[Judged]) -> Outcome | None:
    """The verdict over the checks that are gates today; None where no gate says anything."""
    outcomes = [one.after.verdict.outcome for one in judgments if one.after.kind == "gate"]
    return worst([outcome for outcome in outcomes if outcome != "not_applicable"])


def lines(recorded: Recorded, judgments: Sequence[Judged]) -> list[str]:
    """A line for every verdict that changed, then the verdict over the gates."""
    changed = [one for one in judgments if one.changed]
    said = [
        f"{one.key}: {_verdict(one.before['verdict'], one.before['kind'], one.before.get('waiver') is not None)} -> "
        f"{_verdict(one.after.verdict.outcome, one.after.kind, one.after.waiver is not None)}; {one.why}"
        for one in changed
    ]
    waived = [one.key for one in judgments if one.after.waiver is not None]
    return [
        *said,
        f"cycle {recorded.cycle}: {len(changed)} of {len(judgments)} verdicts changed; over the gates "
        f"{verdict_before(judgments) or 'nothing'} -> {verdict_after(judgments) or 'nothing'}"
        + (f", waived: {', '.join(waived)}" if waived else ""),
    ]


def _verdict(outcome: str, kind: str, waived: bool) -> str:
    return f"{outcome.replace('_', ' ')} ({kind}{', waived' if waived else ''})"


def _said(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else "none" if value is None else str(value)


def _again(row: Row, subject: str, thresholds: Thresholds) -> Entry:
    """The entry under new thresholds. A recorded error stays an error: nothing was measured."""
    measurement = _measurement(row)
    entry = replace(judged(measurement, None, subject, thresholds), nodeid=row["nodeid"], needs=tuple(row.get("needs", ())))
    if row["verdict"] == "error":
        kind = row["kind"] if entry.threshold is None else entry.kind
        return replace(entry, kind=kind, measurement=None, verdict=Verdict("error", row["answer"], row["message"]))
    return entry


def _measurement(row: Row) -> Measurement:
    """What was handed to the gate, as far as a verdict depends on it."""
    threshold = None if row["threshold"] is None else Threshold(**row["threshold"])
    numbers = [row[name] for name in ("estimate", "low", "high", "low_alpha", "high_alpha")]
    estimate = None
    if all(number is not None for number in numbers) and row["n"] is not None:
        alpha = threshold.alpha if threshold is not None else 0.05
        value, low, high, low_alpha, high_alpha = numbers
        limit: Source = row.get("limited_by") or "scenarios"
        estimate = Estimate(value, low, high, low_alpha, high_alpha, alpha, row["n"], row["n"], limit)
    answer, reason = row.get("answer_in_words"), row.get("reason")
    if answer is not None and answer.startswith(NO_ANSWER):
        answer, reason = None, reason or "the data do not tell the answers apart"
    return Measurement(
        id=row["id"],
        behavior=row["behavior"] or "",
        unit=row["unit"] or "",
        estimate=estimate,
        answer=answer,
        reason=reason,
        null=row["null"],
        seed=row["seed"] or 0,
        series=tuple(row["series"]),
        not_applicable=row["verdict"] == "not_applicable",
        spread=None if row.get("spread") is None else Spread(**row["spread"]),
        stepwise=bool(row.get("stepwise", False)),
        unchanged=row.get("unchanged"),
        available=row.get("available"),
    )
