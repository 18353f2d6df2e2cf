"""Distance between rows of attention weights: Jensen–Shannon and Euclidean.

JS = sqrt(H((p + q) / 2) − (H(p) + H(q)) / 2), entropy in bits: a metric between 0 and 1 (Endres and Schindelin 2003). Splitting every key
into two halves leaves JS unchanged and divides the Euclidean distance by √2; to compare rows of different length, that is multiplied by
√(keys that count). Both say how far weights moved, not in which direction, and how far follows the number of training steps.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from harness.analysis.sample import finite
from harness.data.arrays import Flags, Floats


def jensen_shannon(p: ArrayLike, q: ArrayLike, mask: ArrayLike | None = None) -> Floats:
    """Jensen–Shannon distance between rows `p` and `q` [..., keys]: [...], 0 to 1.

    `mask` (broadcast to [..., keys]) is true where a key counts; other keys (sink, padding) are dropped and the rows renormalized. Every
    row must sum to 1 within 1e-3 over all keys (ValueError), so rows in bfloat16 must be renormalized before.
    """
    left, right, _ = _rows(p, q, mask)
    middle = (left + right) / 2
    bits = (_relative_entropy(left, middle) + _relative_entropy(right, middle)) / 2
    return np.asarray(np.sqrt(np.clip(bits, 0, 1)))


def euclidean(p: ArrayLike, q: ArrayLike, mask: ArrayLike | None = None, *, length_normalized: bool = False) -> Floats:
    """Euclidean (L2) distance between rows `p` and `q` [..., keys]: [...], 0 to √2; times √(keys that count) if `length_normalized`.

    `mask` and errors as in jensen_shannon.
    """
    left, right, counted = _rows(p, q, mask)
    distance = np.linalg.norm(left - right, axis=-1)
    return np.asarray(distance * np.sqrt(counted.sum(axis=-1)) if length_normalized else distance)


def _relative_entropy(p: Floats, q: Floats) -> Floats:
    """KL(p ‖ q) in bits, [...]; q must be above 0 wherever p is."""
    ratio = np.divide(p, q, out=np.ones_like(p), where=p > 0)
    return np.asarray((p * np.log2(ratio)).sum(axis=-1))


def _rows(p: ArrayLike, q: ArrayLike, mask: ArrayLike | None) -> tuple[Floats, Floats, Flags]:
    """Both as probability rows over the keys that count, and which keys those are, all [..., keys]."""
    left, right = (_probabilities(rows, name) for rows, name in ((p, "p"), (q, "q")))
    if left.shape != right.shape:
        raise ValueError(f"q: shape {right.shape}, must be {left.shape} as p")
    if mask is None:
        return left, right, np.ones(left.shape, dtype=bool)
    counted = np.asarray(mask)
    if counted.dtype != np.bool_:
        raise ValueError(f"mask: holds {counted.dtype}, must hold true and false")
    try:
        counted = np.broadcast_to(counted, left.shape)
    except ValueError:
        raise ValueError(f"mask: shape {counted.shape} does not broadcast to {left.shape}") from None
    kept = []
    for name, rows in (("p", left), ("q", right)):
        totals = (rows * counted).sum(axis=-1, keepdims=True)
        if (totals <= 0).any():
            raise ValueError(f"mask: drops all weight of {int((totals <= 0).sum())} rows of {name}")
        kept.append(rows * counted / totals)
    return kept[0], kept[1], counted


def _probabilities(rows: ArrayLike, name: str) -> Floats:
    array = np.asarray(rows, dtype=np.float64)
    array = finite(array, name, max(array.ndim, 1), at_least=1)
    if (array < 0).any():
        raise ValueError(f"{name}: has negative weights")
    totals = array.sum(axis=-1, keepdims=True)
    if (np.abs(totals - 1) > 1e-3).any():
        raise ValueError(f"{name}: rows sum to {totals.min():g} … {totals.max():g}, must sum to 1")
    return np.asarray(array / totals)
