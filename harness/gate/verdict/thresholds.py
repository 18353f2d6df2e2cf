"""Reads thresholds.toml: what is expected of each check, with overrides by subject and behavior and the reason for each.

An override replaces the fields it names and keeps the others; a bound replaces the inherited bound as a whole. The later one in this
order wins: default, profile, behavior, subject, subject and behavior. Every mistake is one line: file, line, what was found, what is
allowed. A misspelled check id cannot be told from one that nobody measures yet.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, FiniteFloat, ValidationError

from harness.data.errors import InputError
from harness.data.threshold import Kind, Threshold

ALPHA_BUDGET = 0.01
"""The alphas of all gates sum to at most this, which bounds the share of runs that go red although nothing changed."""

_CHECK_ID = re.compile(r"[a-z0-9_]+\.[a-z0-9_]+")
_PROFILES = ("full",)
"""Profiles that may have overrides: all but the one that the defaults are written for."""
_BOUNDS = ("at_least", "at_most", "margin", "expect")

Fields = Mapping[str, Any]


class _Entry(BaseModel):
    """One table as a person wrote it, before overrides are merged."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: str
    kind: Kind | None = None
    alpha: FiniteFloat | None = None
    at_least: FiniteFloat | None = None
    at_most: FiniteFloat | None = None
    margin: FiniteFloat | None = None
    worse: Literal["lower", "higher"] | None = None
    expect: str | None = None
    smallest: FiniteFloat | None = None


@dataclass(frozen=True)
class _Place:
    """Which check an entry is about, and for whom: the default has neither subject nor behavior nor profile."""

    id: str
    subject: str | None = None
    behavior: str | None = None
    profile: str | None = None

    @property
    def header(self) -> tuple[str, ...]:
        if self.profile is not None:
            return "profile", self.profile, self.id
        subject = () if self.subject is None else ("subject", self.subject)
        behavior = () if self.behavior is None else ("behavior", self.behavior)
        return (*subject, *behavior, self.id)


@dataclass(frozen=True)
class Thresholds:
    """All entries of one file; `for_check` applies the overrides."""

    path: Path
    """The file."""
    entries: Mapping[_Place, Fields]
    """The fields that each table of the file names."""
    profile: str | None = None
    """The profile whose overrides hold; None: those of no profile."""

    def under(self, profile: str) -> Thresholds:
        """The same expectations under a profile, `quick` or `full`."""
        return replace(self, profile=profile)

    @property
    def ids(self) -> tuple[str, ...]:
        """Every check id the file names, in order of first mention."""
        return tuple(dict.fromkeys(place.id for place in self.entries))

    @property
    def gates(self) -> tuple[str, ...]:
        """Ids that are a gate for some subject or behavior."""
        return tuple(dict.fromkeys(place.id for place, fields in self.entries.items() if fields.get("kind") == "gate"))

    def for_check(self, id: str, subject: str | None = None, behavior: str | None = None) -> Threshold | None:
        """What is expected of `id` for this subject and behavior; None where the file expects nothing (a finding)."""
        merged: dict[str, Any] = {}
        for place in _chain(id, subject, behavior, self.profile):
            fields = self.entries.get(place)
            if fields is None:
                continue
            if any(bound in fields for bound in _BOUNDS) or fields.get("kind") == "finding":
                merged = {key: value for key, value in merged.items() if key not in (*_BOUNDS, "worse", "smallest")}
            merged |= fields
        return Threshold(id=id, **merged) if merged else None


def load_thresholds(path: Path) -> Thresholds:
    """Read and check the whole file; raises InputError with one line for the first mistake."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); --thresholds names a TOML file") from None
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\(at line (\d+)", str(error))
        line = found.group(1) if found else str(text.count("\n") + 1)
        raise InputError(f"{path}:{line}: not TOML: {str(error).split(' (at')[0]}") from None
    entries: dict[_Place, Fields] = {}
    for place, raw in _places(tree, path, text):
        entries[place] = _checked_entry(place, raw, path, text)
    thresholds = Thresholds(path, entries)
    for place in entries:
        _check_resolved(thresholds, place, text)
    _check_alpha_budget(thresholds, text)
    return thresholds


def _chain(id: str, subject: str | None, behavior: str | None, profile: str | None) -> list[_Place]:
    places = (_Place(id), _Place(id, profile=profile), _Place(id, None, behavior), _Place(id, subject), _Place(id, subject, behavior))
    return list(dict.fromkeys(places))


def _places(tree: Mapping[str, Any], path: Path, text: str) -> Iterator[tuple[_Place, Any]]:
    for key, value in tree.items():
        if key == "subject":
            for subject, table in _table(value, ("subject",), path, text).items():
                for inner, content in _table(table, ("subject", subject), path, text).items():
                    if inner == "behavior":
                        yield from _by_behavior(content, subject, path, text)
                    else:
                        yield _place(inner, subject, None, path, text), content
        elif key == "behavior":
            yield from _by_behavior(value, None, path, text)
        elif key == "profile":
            for profile, table in _table(value, ("profile",), path, text).items():
                if profile not in _PROFILES:
                    _refuse(path, text, (key, profile), None, f'"{profile}" is no profile to override; allowed: {", ".join(_PROFILES)}')
                for id, content in _table(table, ("profile", profile), path, text).items():
                    yield _place(id, None, None, path, text, profile), content
        else:
            yield _place(key, None, None, path, text), value


def _by_behavior(value: Any, subject: str | None, path: Path, text: str) -> Iterator[tuple[_Place, Any]]:
    start = ("behavior",) if subject is None else ("subject", subject, "behavior")
    for behavior, table in _table(value, start, path, text).items():
        for id, content in _table(table, (*start, behavior), path, text).items():
            yield _place(id, subject, behavior, path, text), content


def _place(id: str, subject: str | None, behavior: str | None, path: Path, text: str, profile: str | None = None) -> _Place:
    place = _Place(id, subject, behavior, profile)
    if not _CHECK_ID.fullmatch(id):
        _refuse(
            path, text, place.header, None, f'"{id}" is no check id; allowed: ["q1.knee"], quoted, question and check with a dot between'
        )
    return place


def _table(value: Any, header: tuple[str, ...], path: Path, text: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        _refuse(path, text, header, None, f'{".".join(header)} is {value!r}; allowed: a table such as [subject."tiny-hybrid"."q1.knee"]')
    return value


def _checked_entry(place: _Place, raw: Any, path: Path, text: str) -> Fields:
    if not isinstance(raw, dict):
        _refuse(path, text, place.header, None, f"{place.id} is {raw!r}; allowed: a table with kind, a bound and a reason")
    try:
        entry = _Entry.model_validate(_ints_as_floats(raw))
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            message = f'"{key}" in ["{place.id}"] is unknown; allowed: {", ".join(_Entry.model_fields)}'
        elif first["type"] == "missing":
            message = f'["{place.id}"] has no {key}; every entry says why in its own `{key} = "..."`'
        else:
            message = f'{key} = {raw.get(key)!r} in ["{place.id}"]; {first["msg"][0].lower()}{first["msg"][1:]}'
        _refuse(path, text, place.header, key, message)
    if not entry.reason.strip():
        _refuse(path, text, place.header, "reason", f'reason in ["{place.id}"] is empty; every entry says why in its own `reason = "..."`')
    return {key: value for key, value in entry.model_dump().items() if value is not None}


def _ints_as_floats(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {key: float(value) if type(value) is int and key != "expect" else value for key, value in raw.items()}


def _check_resolved(thresholds: Thresholds, place: _Place, text: str) -> None:
    fields: dict[str, Any] = {}
    for step in _chain(place.id, place.subject, place.behavior, place.profile):
        fields |= thresholds.entries.get(step, {})
    if "kind" not in fields:
        _refuse(thresholds.path, text, place.header, None, f'["{place.id}"] has no kind; allowed: "gate", "check", "finding"')
    threshold = replace(thresholds, profile=place.profile).for_check(place.id, place.subject, place.behavior)
    assert threshold is not None
    bounds = [name for name in _BOUNDS if getattr(threshold, name) is not None]
    where = f'["{place.id}"] of kind "{threshold.kind}"'

    def refuse(key: str | None, message: str) -> NoReturn:
        _refuse(thresholds.path, text, place.header, key, message)

    if threshold.kind == "finding" and bounds not in ([], ["expect"]):
        refuse(bounds[0], f'{where} has {" and ".join(bounds)}; allowed: nothing or expect (a bound makes it kind = "check")')
    if threshold.kind != "finding" and len(bounds) != 1:
        found = " and ".join(bounds) or "no bound"
        refuse(bounds[1] if bounds else None, f"{where} has {found}; allowed: exactly one of at_least, at_most, margin, expect")
    if threshold.kind == "gate" and "alpha" not in fields:
        refuse(None, f"{where} has no alpha; a gate states the error rate at which it may fail")
    if not 0 < threshold.alpha <= 0.05:
        refuse("alpha", f"alpha = {threshold.alpha:g} in {where}; allowed: above 0, at most 0.05")
    if threshold.margin is not None and threshold.margin < 0:
        refuse("margin", f"margin = {threshold.margin:g} in {where}; allowed: 0 or more, `worse` says the direction")
    if threshold.smallest is not None:
        if threshold.kind == "finding" and not 0 < threshold.smallest < 1:
            refuse("smallest", f"smallest = {threshold.smallest:g} in {where}; allowed in a finding: a share, above 0 and below 1")
        if threshold.kind != "finding" and (threshold.at_least is None or threshold.smallest <= threshold.at_least):
            refuse("smallest", f"smallest = {threshold.smallest:g} in {where}; allowed in a {threshold.kind}: above the at_least beside it")
    if "worse" in thresholds.entries[place] and threshold.margin is None:
        refuse("worse", f"worse in {where} goes with margin only")


def _check_alpha_budget(thresholds: Thresholds, text: str) -> None:
    """The budget holds for every subject, behavior and profile the file distinguishes."""
    distinguished = dict.fromkeys((place.subject, place.behavior) for place in thresholds.entries)
    for (subject, behavior), profile in product(distinguished, (None, *_PROFILES)):
        under = replace(thresholds, profile=profile)
        resolved = (under.for_check(id, subject, behavior) for id in thresholds.ids)
        gates = [threshold for threshold in resolved if threshold is not None and threshold.kind == "gate"]
        total = sum(gate.alpha for gate in gates)
        if total > ALPHA_BUDGET * (1 + 1e-9):
            last = [place for place in _chain(gates[-1].id, subject, behavior, profile) if "alpha" in thresholds.entries.get(place, {})][-1]
            spent = ", ".join(f"{gate.id} {gate.alpha:g}" for gate in gates)
            message = f"the alphas of all gates sum to {total:g} ({spent}); allowed: at most {ALPHA_BUDGET:g}"
            _refuse(thresholds.path, text, last.header, "alpha", message)


def _refuse(path: Path, text: str, header: tuple[str, ...], key: str | None, message: str) -> NoReturn:
    raise InputError(f"{path}:{_line(text, header, key)}: {message}")


def _line(text: str, header: tuple[str, ...], key: str | None) -> int:
    """Line of `key` in the table with this header; of the header, or the first line that names its last part, otherwise."""
    lines = text.splitlines()
    table = r"\s*\[\s*" + r"\s*\.\s*".join(rf"[\"']?{re.escape(part)}[\"']?" for part in header) + r"\s*\]"
    start = next((number for number, line in enumerate(lines, 1) if re.match(table, line)), None)
    if start is None:
        return next((number for number, line in enumerate(lines, 1) if header[-1] in line), 1)
    if key is not None:
        for number, line in enumerate(lines[start:], start + 1):
            if line.lstrip().startswith("["):
                break
            if re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line):
                return number
    return start
