"""Attention rows of different lengths as vectors of one length, and the mass on a span against a length-matched control.

A row starts with an attention sink, then come earlier turns, the user's last turn, and the chat template's fixed tail. Its features are
the mass on the first token, on the rest before the last turn, on each quarter of the last turn, and on each token of the tail. They sum
to 1, as the row does. Where inside a quarter the mass lies is lost.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from harness.data.arrays import Floats

QUARTERS = 4
"""Parts of equal length that the last turn is divided into; a token on a border counts in proportion."""


def row_features(rows: ArrayLike, content: tuple[int, int]) -> Floats:
    """Features [..., 2 + 4 + tail tokens] of `rows` [..., keys]; the last turn stands at keys content[0] to content[1] − 1.

    ValueError where the turn begins at the first key or does not fit in the row.
    """
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
    """Mass on keys span[0] to span[1] − 1 of `rows` [..., keys], minus the mean mass of all spans of that length: [...].

    Spans that hold the first key do not count: it is a sink. ValueError where `span` holds it or does not fit in the row.
    """
    array = np.asarray(rows, dtype=np.float64)
    start, end = span
    length = end - start
    if not 1 <= start < end <= array.shape[-1]:
        raise ValueError(f"span: ({start}, {end}), must lie after the first of {array.shape[-1]} keys")
    cumulative = np.concatenate([np.zeros((*array.shape[:-1], 1)), array[..., 1:].cumsum(axis=-1)], axis=-1)
    windows = cumulative[..., length:] - cumulative[..., :-length]
    return np.asarray(windows[..., start - 1] - windows.mean(axis=-1))
