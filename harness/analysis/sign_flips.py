"""Label shuffles that make a rank exact: a group of sign flips of pairs, each of which flips about half of them.

Element g of the group {0, 1}^m flips pair i where the bitwise inner product of g and a code a_i is odd (a Walsh function of a_i). Under the
hypothesis that each pair's labels could as well be exchanged, flipping by any element changes no distribution, so the statistic of the true
labels is as likely as any other to rank first among those of all elements: P(p ≤ α) ≤ α for p = rank / 2^m, whatever is computed from the
labels, choices made on other data included (Hoeffding 1952; Lehmann and Romano, Testing Statistical Hypotheses, section 17.2; Hemerik and
Goeman, TEST 27, 2018, on subgroups). Flips that are balanced but no group have no such guarantee, and too small a p (Southworth, Kim and
Owen, Journal of Computational and Graphical Statistics 18, 2009); independent flips keep part of what all pairs share.
"""

from __future__ import annotations

import numpy as np

from harness.data.arrays import Floats


def sign_flips(pairs: int, exponent: int, rng: np.random.Generator) -> Floats:
    """Signs ±1 of every pair under all 2^m elements, [2^m, pairs], m = `exponent`; the first row flips nothing.

    Each code is given to as many pairs as any other, or to one more; which pairs get it is random. Where there are fewer pairs than codes,
    rows are balanced on average only, and with fewer than m pairs some are equal, which makes p larger. ValueError for no pairs or m < 1.
    """
    if pairs < 1 or exponent < 1:
        raise ValueError(f"pairs and exponent: are {pairs} and {exponent}, must be at least 1")
    elements = np.arange(2**exponent)
    codes = np.concatenate([_codes(exponent, rng) for _ in range(-(-pairs // len(elements)))])[:pairs]
    odd = np.bitwise_count(elements[:, None] & rng.permutation(codes)) % 2
    return 1.0 - 2.0 * odd


def _codes(exponent: int, rng: np.random.Generator) -> np.ndarray:
    """All codes in random order, but for those with a single bit, which come first: together they tell all elements apart."""
    single = 2 ** np.arange(exponent)
    return np.concatenate([single, rng.permutation(np.setdiff1d(np.arange(2**exponent), single))])
