"""Attention rows of different lengths as vectors of one length, and the mass on a span against a length-matched control.

Every row ends in the chat template's fixed tail and starts with a sink; in between lies the user's last turn. A row
becomes: mass on the first token, on the rest before the turn, on each quarter of the turn, and on each token of the tail.
The features of a row sum to 1. Where inside a quarter the mass lies is lost.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from harness.data.arrays import Floats

QUARTERS = 4


def row_features(rows: ArrayLike, content: tuple[int, int]) -> Floats:
    """`rows` [..., keys] with the turn at keys content[0] to content[1]: [..., 2 + 4 + tail tokens]."""
    array = np.asarray(rows, dtype=np.float64)
    start, end = content
    if not 1 <= start < end <= array.shape[-1]:
        raise ValueError(f"content: ({start}, {end}), must lie after the first of {array.shape[-1]} keys")
    edges = np.linspace(start, end, QUARTERS + 1)
    cumulative = np.concatenate([np.zeros((*array.shape[:-1], 1)), array.cumsum(axis=-1)], axis=-1)
    whole = np.arange(cumulative.shape[-1], dtype=np.float64)
    lower = np.minimum(edges.astype(int), len(whole) - 2)
    at_edges = cumulative[..., lower] + (edges - lower) * (cumulative[..., lower + 1] - cumulative[..., lower])
    before = cumulative[..., start : start + 1] - cumulative[..., 1:2]
    return np.concatenate([array[..., :1], before, np.diff(at_edges, axis=-1), array[..., end:]], axis=-1)


def span_mass_above_control(rows: ArrayLike, span: tuple[int, int]) -> Floats:
    """Mass on `span` minus the mean mass of all spans of the same length that do not hold the first token: [...]."""
    array = np.asarray(rows, dtype=np.float64)
    start, end = span
    length = end - start
    if not 1 <= start < end <= array.shape[-1]:
        raise ValueError(f"span: ({start}, {end}), must lie after the first of {array.shape[-1]} keys")
    cumulative = np.concatenate([np.zeros((*array.shape[:-1], 1)), array[..., 1:].cumsum(axis=-1)], axis=-1)
    windows = cumulative[..., length:] - cumulative[..., :-length]
    return np.asarray(windows[..., start - 1] - windows.mean(axis=-1))
