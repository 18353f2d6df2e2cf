"""history.sqlite: every measurement of every cycle, for baselines, drift, diff and Q4's control chart. Never cleared.

A cycle may take several runs (one question each, or the same one again): reading a cycle gives the latest record of each
key. Concurrent runs wait for each other, and a run is written whole or not at all. Which measurements may be compared:
`comparable.py`; which cycles may be accepted: `acceptance.py`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.data.errors import InputError
from harness.data.measurement import Level
from harness.data.settings import Settings
from harness.data.verdict import Outcome, Verdict
from harness.gate.verdict.entry import Entry
from harness.gate.verdict.run import Run

PATIENCE = 60.0
"""Seconds one run waits for another's writing."""

_TABLES = """
create table if not exists runs (
    run integer primary key, cycle text not null, started text not null,
    base text not null, candidates text not null,
    profile text not null, engine text not null, seed integer not null,
    verdict text, exit_code integer not null, complete integer not null);
create index if not exists runs_by_cycle on runs (cycle);
create table if not exists measurements (
    run integer not null references runs (run), key text not null, id text not null, behavior text, kind text not null,
    verdict text not null, answer text not null, message text not null, estimate real, low real, high real,
    low_alpha real, high_alpha real, unit text, n integer, seed integer,
    provenance text not null, per_scenario text not null, clusters text not null, series text not null,
    primary key (run, key));
create table if not exists accepted (cycle text not null, at text not null, forced text);
create table if not exists pinned (cycle text not null, at text not null, reason text not null);
"""
_LATER_COLUMNS = {"measurements": {"gate_row": "text"}}
"""Columns that are added to histories begun without them; they are empty in the old rows."""


@dataclass(frozen=True)
class Record:
    """One measurement of one cycle as it was recorded."""

    key: str
    """Check and behavior, "q5.effect[listening]"."""
    id: str
    behavior: str | None
    kind: str
    """gate, check or finding."""
    verdict: Outcome
    """As it was judged when it was recorded."""
    answer: str
    message: str
    estimate: float | None
    """In `unit`, as are the ends of its intervals; all are None where it could not be measured."""
    low: float | None
    """The 95 % interval."""
    high: float | None
    low_alpha: float | None
    """The interval at the gate's alpha."""
    high_alpha: float | None
    unit: str | None
    n: int | None
    """Scenarios."""
    seed: int | None
    provenance: Mapping[str, str]
    """Name to digest or setting, of everything that determined the number."""
    per_scenario: Mapping[str, float]
    """Scenario id to its contribution."""
    clusters: Mapping[str, str]
    """Scenario id to its domain."""
    series: tuple[Mapping[str, Any], ...]
    """Cells of the sweep."""
    gate_row: Mapping[str, Any] | None = None
    """The row of gate.json; None where an older version recorded it."""

    @property
    def waived(self) -> str | None:
        """The reason of the waiver that kept it from blocking; None where none did."""
        waiver = (self.gate_row or {}).get("waiver")
        return None if waiver is None else str(waiver["reason"])

    @property
    def level(self) -> Level | None:
        """By which cycles are compared, in a check whose estimate is a difference from an earlier cycle."""
        level = (self.gate_row or {}).get("level")
        return None if level is None or level["value"] is None else Level(**level)

    @property
    def followed(self) -> Level | None:
        """What is compared from cycle to cycle, as `Measurement.followed`."""
        if self.level is not None or self.estimate is None:
            return self.level
        return Level(self.estimate, self.unit or "")

    @property
    def proven_loss(self) -> bool:
        """Whether it passed although a loss was proven."""
        return bool((self.gate_row or {}).get("proven_loss"))


@dataclass(frozen=True)
class Cycle:
    """A cycle with the latest record of each key."""

    name: str
    """As given with --cycle."""
    started: str
    """When its latest run began: UTC, ISO 8601."""
    complete: bool
    """Whether every selected test of its latest run came to an end."""
    base: str
    """The base subject, as given with --model."""
    records: Mapping[str, Record] = field(default_factory=dict)
    """The latest record of each key."""
    profile: str = "quick"
    """The profile of its latest run."""


def probe(path: Path) -> None:
    """InputError of one line where a run could not be recorded at `path`: no database, another program's, or not to be written.

    What is written for the trial is undone. A history that is not there yet is begun.
    """
    trial = Run(
        Settings(), "trial", "1970-01-01T00:00:00+00:00", (Entry("q0.trial", None, "finding", Verdict("settled", "-", "trial")),), (), True
    )
    try:
        with _open(path) as connection:
            _insert(connection, trial)
            raise _Undone
    except _Undone:
        return
    except (sqlite3.Error, OSError) as error:
        raise InputError(
            f"--history {path}: cannot be written ({error}); allowed: a history of this suite, or a path where one can be begun"
        ) from None


class _Undone(Exception):
    """Ends a trial, so that its transaction is rolled back."""


def append(run: Run) -> None:
    """Record a run in its own history; sqlite3.Error where that cannot be written."""
    append_to(run.settings.history_path, run)


def append_to(path: Path, run: Run) -> None:
    """Record a run in the history at `path`, which is begun where there is none."""
    with _open(path) as connection:
        _insert(connection, run)


def _insert(connection: sqlite3.Connection, run: Run) -> None:
    row = connection.execute(
        "insert into runs (cycle, started, base, candidates, profile, engine, seed, verdict, exit_code, complete)"
        " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            run.cycle,
            run.started,
            run.settings.model,
            json.dumps([str(path) for path in run.settings.candidates]),
            run.settings.profile,
            run.settings.engine,
            run.settings.seed,
            run.verdict,
            run.exit_code,
            run.complete,
        ),
    ).lastrowid
    for entry in run.entries:
        columns = {"run": row, **_columns(entry)}
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        connection.execute(f"insert into measurements ({names}) values ({marks})", tuple(columns.values()))


def read_cycle(path: Path, cycle: str) -> Cycle | None:
    """The latest record of each key of a cycle; None where it was never recorded."""
    if not path.is_file():
        return None
    with _open(path) as connection:
        runs = connection.execute("select * from runs where cycle = ? order by run", (cycle,)).fetchall()
        if not runs:
            return None
        rows = connection.execute(
            "select measurements.* from measurements join runs using (run) where cycle = ? order by run, measurements.rowid", (cycle,)
        ).fetchall()
    last = runs[-1]
    records = {row["key"]: _record(row) for row in rows}
    return Cycle(cycle, last["started"], bool(last["complete"]), last["base"], records, last["profile"])


def cycle_names(path: Path) -> tuple[str, ...]:
    """Every cycle, in order of its first run."""
    if not path.is_file():
        return ()
    with _open(path) as connection:
        rows = connection.execute("select cycle from runs group by cycle order by min(run)").fetchall()
    return tuple(row["cycle"] for row in rows)


def earlier_cycles(path: Path, base: str, cycle: str, most: int) -> tuple[Cycle, ...]:
    """The cycles of this base among the last `most` that are not `cycle` itself, oldest first."""
    names = [name for name in cycle_names(path) if name != cycle]
    cycles = (read_cycle(path, name) for name in names[-most:])
    return tuple(each for each in cycles if each is not None and each.base == base)


def known_cycle(path: Path, cycle: str) -> Cycle:
    """`read_cycle`; InputError of one line, with the cycles recorded last, where it was never recorded."""
    known = read_cycle(path, cycle)
    if known is None:
        raise InputError(f"cycle {cycle}: not in {path}; recorded last: {', '.join(cycle_names(path)[-5:]) or 'none'}")
    return known


def accept(path: Path, cycle: str, force: str | None = None) -> None:
    """Make a cycle the baseline, whatever it says: `acceptance.accept` looks first. `force`, why it was taken although, is recorded."""
    known_cycle(path, cycle)
    with _open(path) as connection:
        at = datetime.now(UTC).isoformat(timespec="seconds")
        connection.execute("insert into accepted (cycle, at, forced) values (?, ?, ?)", (cycle, at, force))
        if connection.execute("select 1 from pinned").fetchone() is None:
            connection.execute("insert into pinned (cycle, at, reason) values (?, ?, ?)", (cycle, at, "the first accepted cycle"))


def pin(path: Path, cycle: str, reason: str) -> None:
    """Make a cycle the one that drift and cost are measured against; InputError for an unknown cycle, or without a reason.

    Only the first accepted cycle is pinned by itself; after that nothing but this moves the pin.
    """
    known_cycle(path, cycle)
    if not reason.strip():
        raise InputError(f"cycle {cycle}: pinned only with a reason: what drift is measured against changes")
    with _open(path) as connection:
        at = datetime.now(UTC).isoformat(timespec="seconds")
        connection.execute("insert into pinned (cycle, at, reason) values (?, ?, ?)", (cycle, at, reason.strip()))


def pinned(path: Path) -> str | None:
    """The cycle that drift is measured against: the first accepted one, until another is pinned. None where none was accepted."""
    if not path.is_file():
        return None
    with _open(path) as connection:
        row = connection.execute("select cycle from pinned order by rowid desc limit 1").fetchone()
    return None if row is None else str(row["cycle"])


def last_accepted(path: Path) -> str | None:
    """The cycle that was accepted last, the baseline where none is named; None where none was accepted."""
    if not path.is_file():
        return None
    with _open(path) as connection:
        row = connection.execute("select cycle from accepted order by rowid desc limit 1").fetchone()
    return None if row is None else str(row["cycle"])


@contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection in one transaction: committed at the end, undone where an error passes through."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)) as connection:
        connection.row_factory = sqlite3.Row
        connection.execute("begin immediate")
        try:
            for statement in _TABLES.split(";"):
                connection.execute(statement)
            for table, columns in _LATER_COLUMNS.items():
                known = {row["name"] for row in connection.execute(f"pragma table_info({table})")}
                for column, kind in columns.items():
                    if column not in known:
                        connection.execute(f"alter table {table} add column {column} {kind}")
            yield connection
        except BaseException:
            connection.execute("rollback")
            raise
        connection.execute("commit")


def _columns(entry: Entry) -> dict[str, Any]:
    check, measurement = entry.check(), entry.measurement
    same = ("key", "id", "behavior", "kind", "verdict", "answer", "message", "estimate", "low", "high", "low_alpha", "high_alpha")
    return {
        **{name: check[name] for name in (*same, "unit", "n", "seed")},
        "provenance": json.dumps(dict(measurement.provenance) if measurement else {}),
        "per_scenario": json.dumps(dict(measurement.per_scenario) if measurement else {}),
        "clusters": json.dumps(dict(measurement.clusters) if measurement else {}),
        "series": json.dumps(check["series"]),
        "gate_row": json.dumps(check),
    }


def _record(row: sqlite3.Row) -> Record:
    columns = {name: row[name] for name in row.keys() if name != "run"}  # noqa: SIM118 (a Row iterates over its values)
    texts = ("provenance", "per_scenario", "clusters")
    decoded = {name: json.loads(columns[name]) for name in texts}
    gate_row = None if columns["gate_row"] is None else json.loads(columns["gate_row"])
    return Record(**{**columns, **decoded, "series": tuple(json.loads(columns["series"])), "gate_row": gate_row})
