"""How far apart two computations of the same numbers may lie: counted in roundings, never as an absolute number.

A rounding is eps of the number type times the largest magnitude of what is compared. A float sum in another order moves by some roundings
of its summands (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 4.2), and the order depends on the processor (AMX,
AVX-512, AVX2), the shape of a batch and the library. The largest magnitude of the whole array counts: a small number among large ones came
of large ones that cancelled, and is no better known than they are. Where all of them cancelled, as in differences of log-probabilities,
`size` says how large they were.

`make test-all` runs the tests marked `numeric` once more as on a processor without AMX and AVX-512. Seen there and with AMX: ORDER at most
8, ALGORITHM at most 23. What the tests are there to catch moves numbers by a thousand roundings and more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

ORDER = 24
"""Roundings between two runs of the same operations on batches of another shape."""
ALGORITHM = 96
"""Roundings between two ways to compute one function: chunks or token by token, adapters merged or beside, one engine or the other."""
NATS = 10.0
"""Size of the log-probabilities that random models give; log-odds are differences of them."""


def apart(found: Any, expected: Any, kind: torch.dtype = torch.float32, size: float | None = None) -> float:
    """The largest difference, in roundings of this number type at the magnitude of `expected`, or at `size` where it is given.

    Both are arrays, tensors or numbers, or lists of them or of `Scored`, of the same shapes. 0 where nothing differs.
    """
    one, other = _numbers(found), _numbers(expected)
    if one.shape != other.shape:
        raise ValueError(f"found has {one.size} numbers and expected has {other.size}")
    difference = float(np.abs(one - other).max())
    return difference / rounding(other if size is None else size, kind) if difference != 0 else 0.0


def rounding(numbers: Any, kind: torch.dtype = torch.float32) -> float:
    """eps of this number type times the largest magnitude of the numbers."""
    return float(torch.finfo(kind).eps * np.abs(_numbers(numbers)).max())


def _numbers(given: Any) -> np.ndarray:
    """All of them in one row, as float64."""
    parts: Sequence[Any] = given if isinstance(given, list | tuple) else [given]
    return np.concatenate([np.ravel(np.asarray(getattr(part, "log_probabilities", part), dtype=np.float64)) for part in parts])
