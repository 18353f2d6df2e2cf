"""The file of a calibration: all that the gates need to know of every subject, so that a run is arithmetic.

A `Book` holds one base and behavior: the clusters of scenarios, documents and tasks, and a `MeasuredSubject` for every adapter and plant.
Log-odds and bits per byte are deterministic; of replies every sample is kept, so that a run can draw as many of them as the gate
would take. The books of the shipped models are in the repository (`recordings/`), so that the table can be made again, and the tests run,
without a model. The file knows no gate: arrays are kept under the names that the gates gave them.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evals.calibrated import Arrays, MeasuredSubject
from harness.data.arrays import Names
from harness.data.errors import InputError

FOLDER = Path(__file__).with_name("recordings")
HEAD, DOMAINS = "head", "domains"
IN_HEAD = ("live", "bad")
"""Numbers of a subject that stand in the head of the file and not in arrays of their own; one that is not finite is null there."""
PLAIN = ("model", "behavior", "base_digest", "behavior_digest", "data_digest", "replies")
"""Fields of a book that stand in the head as they are."""


@dataclass(frozen=True)
class Book:
    """Everything that was measured of one base and behavior."""

    model: str
    behavior: str
    base_digest: str
    behavior_digest: str
    domains: Names  # [test pairs]
    common: Arrays
    """What is the same for all subjects, from every gate."""
    subjects: tuple[MeasuredSubject, ...] = ()
    data_digest: str = ""
    """Digest of what the gates measure on beside the behavior, and of how often they sample it."""
    replies: bool = True
    """Whether replies were sampled: for code and answers, and for the judged rates that doses are sought by."""

    def of(self, kind: str) -> tuple[MeasuredSubject, ...]:
        """The subjects of one kind, in order of recording."""
        return tuple(one for one in self.subjects if one.kind == kind)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of plants, in order of recording."""
        return tuple(dict.fromkeys(one.kind for one in self.subjects if one.kind != "good"))


def book_path(model: str, behavior: str) -> Path:
    """Where the book of a model and behavior lies; both by name or folder."""
    return FOLDER / f"{Path(model).name}-{behavior}.npz"


def save(book: Book, path: Path) -> None:
    """Write the book whole or not at all. Floats are kept as float32, whose rounding is far below any interval's width."""
    arrays: dict[str, Any] = {DOMAINS: book.domains, **{name: _narrow(array) for name, array in book.common.items()}}
    rows = []
    for i, one in enumerate(book.subjects):
        arrays |= {f"{i}/{name}": _narrow(array) for name, array in one.arrays.items() if name not in IN_HEAD}
        numbers = [float(one.arrays[name]) for name in IN_HEAD]
        rows.append([one.kind, one.adapter, one.digest, *(number if math.isfinite(number) else None for number in numbers), one.lost])
    arrays[HEAD] = np.array(json.dumps({**{name: getattr(book, name) for name in PLAIN}, "recordings": rows}))
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}")
    with draft.open("wb") as handle:
        np.savez_compressed(handle, **arrays)
    draft.rename(path)


def load(path: Path) -> Book:
    """Read a book; InputError with one line where there is none."""
    try:
        with np.load(path) as file:
            head = json.loads(str(file[HEAD]))
            rows: list[list[Any]] = head["recordings"]
            of_subject: list[dict[str, NDArray[Any]]] = [{} for _ in rows]
            common: dict[str, NDArray[Any]] = {}
            for name in file.files:
                first, _, rest = name.partition("/")
                if first.isdigit():
                    of_subject[int(first)][rest] = _wide(file[name])
                elif name not in (HEAD, DOMAINS):
                    common[name] = _wide(file[name])
            return Book(
                **{name: head[name] for name in PLAIN},
                domains=file[DOMAINS],
                common=common,
                subjects=tuple(_subject(row, arrays) for row, arrays in zip(rows, of_subject, strict=True)),
            )
    except (OSError, EOFError, ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(
            f"{path}: no recordings of a calibration ({type(error).__name__}); make them with python -m harness calibrate"
        ) from None


def _subject(row: list[Any], arrays: Arrays) -> MeasuredSubject:
    kind, adapter, digest, *numbers, lost = row
    of_head = {name: np.array(math.nan if number is None else number) for name, number in zip(IN_HEAD, numbers, strict=True)}
    return MeasuredSubject(kind, adapter, digest, {**arrays, **of_head}, lost)


def _narrow(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def _wide(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(np.float64) if array.dtype.kind == "f" else array
