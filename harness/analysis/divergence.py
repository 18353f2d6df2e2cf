"""Distance between rows of attention weights: Jensen–Shannon and Euclidean.

JS = sqrt(H((p + q) / 2) − (H(p) + H(q)) / 2), entropy in bits: a metric between 0 and 1 (Endres and Schindelin 2003). Splitting every key into
two halves leaves it unchanged; the Euclidean distance falls by √2, so it can be multiplied by √(visible keys) to compare rows of different
length. Both say how far weights moved, not in which direction: size follows the number of training steps.
"""

from __future__ import annotations

from numpy.typing import ArrayLike

from harness.analysis.sample import Floats


def jensen_shannon(p: ArrayLike, q: ArrayLike, mask: ArrayLike | None = None) -> Floats:
    """Jensen–Shannon distance between rows `p` and `q` [..., keys]: [...], 0 to 1.

    `mask` [..., keys] (broadcast) is true where a key counts: the others are dropped and the rows renormalized (sink column, padding).
    """
    raise NotImplementedError


def euclidean(p: ArrayLike, q: ArrayLike, mask: ArrayLike | None = None, *, length_normalized: bool = False) -> Floats:
    """Euclidean (L2) distance between rows `p` and `q` [..., keys]: [...], 0 to √2, or times √(keys that count)."""
    raise NotImplementedError
