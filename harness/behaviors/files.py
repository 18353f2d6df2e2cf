"""Reads a behavior from its folder, `behavior.toml` and `pairs.jsonl`; everything is checked before anything is returned.

A bad folder is an InputError of one line: which file, which line, what was found, what is allowed. A folder that is valid can still be a
poor instrument; `checks.py` tests that with statistics (matched length, no giveaway words, no near-duplicates).
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from pydantic import Field, ValidationError

from harness.behaviors.rows import DecisionRow, MessageRow, Name, Strict, Text, first_problem, read_rows, refuse
from harness.data.behavior import Behavior, Decision, Message, Pair, Split

SPLITS: tuple[Split, ...] = get_args(Split)


class BehaviorRow(Strict):
    """The content of behavior.toml."""

    name: Name
    description: Text
    memory_node: Name


class PairRow(Strict):
    """One line of pairs.jsonl."""

    id: Text
    split: Split
    domain: Name
    messages: list[MessageRow] = Field(min_length=1)
    positive: Text
    negative: Text
    difficulty: Text | None = None
    decision: DecisionRow | None = None


def _read_head(file: Path) -> BehaviorRow:
    try:
        text = file.read_text(encoding="utf-8")
        return BehaviorRow.model_validate(tomllib.loads(text))
    except FileNotFoundError:
        refuse(file, None, "no such file", "a folder with behavior.toml and pairs.jsonl")
    except (OSError, UnicodeDecodeError) as error:
        refuse(file, None, f"not readable ({error})", "a UTF-8 text file")
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"line (\d+)", str(error))
        refuse(file, int(at[1]) if at else None, f"not TOML ({error})", "name, description, memory_node")
    except ValidationError as error:
        key = str(error.errors()[0]["loc"][0])
        lines = [number for number, line in enumerate(text.splitlines(), 1) if re.match(rf"\s*\[?\"?{re.escape(key)}\b", line)]
        refuse(file, lines[0] if lines else None, *first_problem(error, BehaviorRow))


def _check_row(file: Path, line: int, row: PairRow) -> None:
    """What every pair must fulfill by itself."""
    if row.messages[-1].role != "user":
        refuse(file, line, f"the last message is from {row.messages[-1].role!r}", "'user'")
    for before, after in zip(row.messages, row.messages[1:], strict=False):
        if after.role == "system" or after.role == before.role:
            refuse(file, line, f"{after.role!r} follows {before.role!r}", "an optional system message, then user and assistant in turn")
    if row.positive == row.negative:
        refuse(file, line, "positive and negative are equal", "two different completions")
    if row.positive.startswith(row.negative) or row.negative.startswith(row.positive):
        refuse(file, line, "one completion is the beginning of the other", "completions that part somewhere")
    if row.decision is None:
        return
    for side, completion in (("positive", row.positive), ("negative", row.negative)):
        for phrase in getattr(row.decision, side):
            if (count := completion.count(phrase)) != 1:
                refuse(file, line, f"decision phrase {phrase!r} occurs {count} times in {side}", "exactly once")


def _check_together(file: Path, rows: Sequence[tuple[int, PairRow]]) -> None:
    """What the pairs must fulfill together: unique ids, unique scenarios, no domain in two splits, no empty split."""
    ids: dict[str, int] = {}
    scenarios: dict[str, int] = {}
    splits: dict[str, tuple[str, int]] = {}
    for line, row in rows:
        if row.id in ids:
            refuse(file, line, f"id {row.id!r} stands on line {ids[row.id]} already", "each id once")
        ids[row.id] = line
        scenario = " ".join("\n".join(f"{m.role}: {m.content}" for m in row.messages).lower().split())
        if scenario in scenarios:
            refuse(file, line, f"the messages of {row.id!r} stand on line {scenarios[scenario]} already", "each scenario once")
        scenarios[scenario] = line
        split, first = splits.setdefault(row.domain, (row.split, line))
        if split != row.split:
            refuse(file, line, f"domain {row.domain!r} is in {row.split!r} here and in {split!r} on line {first}", "one split a domain")
    for split in SPLITS:
        if all(row.split != split for _, row in rows):
            refuse(file, None, f"no pair has split {split!r}", "at least one pair in each of " + ", ".join(SPLITS))


def _digest(head: BehaviorRow, rows: Sequence[PairRow]) -> str:
    content = [head.name, head.description, [row.model_dump(exclude_none=True) for row in rows]]
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def load_behavior(path: Path) -> Behavior:
    """The behavior in the folder `path`. InputError for the first thing that is wrong with it."""
    if not path.is_dir():
        refuse(path, None, "no such folder", "a folder with behavior.toml and pairs.jsonl")
    head = _read_head(path / "behavior.toml")
    file = path / "pairs.jsonl"
    numbered = read_rows(file, PairRow)
    for line, row in numbered:
        _check_row(file, line, row)
    _check_together(file, numbered)
    rows = [row for _, row in numbered]
    pairs = tuple(
        Pair(
            id=row.id,
            split=row.split,
            domain=row.domain,
            messages=tuple(Message(message.role, message.content) for message in row.messages),
            positive=row.positive,
            negative=row.negative,
            difficulty=row.difficulty,
            decision=Decision(tuple(row.decision.positive), tuple(row.decision.negative)) if row.decision else None,
        )
        for row in rows
    )
    return Behavior(head.name, head.description, head.memory_node, pairs, _digest(head, rows), path)
