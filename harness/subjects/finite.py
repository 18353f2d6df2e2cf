"""Whether a safetensors file holds a NaN or an infinity. Bytes are read in blocks and loads no torch: a file may be larger than memory."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from harness.data.errors import InputError
from harness.store import SMALL, Store

BLOCK = 1 << 24
"""Values that are looked at together."""
WHOLE_NUMBERS = frozenset({"BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64", "F4", "F6_E2M3", "F6_E3M2"})
"""Types of the format that have neither NaN nor infinity."""


def _bits(kept: str, mask: int, value: int) -> tuple[str, Callable[[Any], Any]]:
    return kept, lambda block: (block & mask) == value


def _floats(kept: str) -> tuple[str, Callable[[Any], Any]]:
    return kept, lambda block: ~np.isfinite(block)


BAD: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "F64": _floats("<f8"),
    "F32": _floats("<f4"),
    "F16": _floats("<f2"),
    "C64": _floats("<c8"),
    "BF16": _bits("<u2", 0x7F80, 0x7F80),
    "F8_E5M2": _bits("u1", 0x7C, 0x7C),
    "F8_E4M3": _bits("u1", 0x7F, 0x7F),
    "F8_E5M2FNUZ": _bits("u1", 0xFF, 0x80),
    "F8_E4M3FNUZ": _bits("u1", 0xFF, 0x80),
    "F8_E8M0": _bits("u1", 0xFF, 0xFF),
}
"""The format's name of a number type: the type that its bytes are read as, and which of the values read are no finite number."""


def not_finite(path: Path, store: Store | None = None) -> dict[str, int]:
    """Number of values that are not finite, by the name of each tensor that has any. InputError where it is no safetensors file.

    With `store`, what was found in a large file is kept under its digest.
    """
    if store is None or path.stat().st_size <= SMALL:
        return _counted(path)
    found: dict[str, int] = store.json("finite", {"file": store.digest(path)}, lambda: _counted(path))
    return found


def _counted(path: Path) -> dict[str, int]:
    try:
        with safe_open(str(path), framework="np"):
            pass  # the library checks that header and length fit together
    except SafetensorError as error:
        raise InputError(f"{path}: damaged safetensors file ({error})") from None
    with path.open("rb") as handle:
        (length,) = struct.unpack("<Q", handle.read(8))
        header = json.loads(handle.read(length))
    counts = {name: _count(path, 8 + length, entry) for name, entry in header.items() if name != "__metadata__"}
    return {name: count for name, count in counts.items() if count}


def _count(path: Path, start: int, entry: dict[str, Any]) -> int:
    if entry["dtype"] in WHOLE_NUMBERS:
        return 0
    if entry["dtype"] not in BAD:
        raise InputError(f"{path}: holds numbers of type {entry['dtype']}; allowed: {', '.join(BAD)} and whole numbers")
    kept, bad = BAD[entry["dtype"]]
    first, last = entry["data_offsets"]
    width = np.dtype(kept).itemsize
    count = 0
    for at in range(first, last, BLOCK * width):
        values = min(BLOCK, (last - at) // width)
        count += int(np.count_nonzero(bad(np.fromfile(path, kept, values, offset=start + at))))
    return count
