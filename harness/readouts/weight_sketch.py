"""A small picture of what a training did to the weights, by which one training is told from its continuation.

The change of every matrix is projected from both sides on random signs that follow from the matrix's name, and the projections are added
up. Inner products survive that in expectation, with a standard error of 1 / √ENTRIES of the norms' product (Johnson and Lindenstrauss
1984), so the cosine of two sketches estimates the cosine of two changes without keeping either. A training that goes on from another
keeps most of its change; trainings on the same data from different initial weights share little.
"""

from __future__ import annotations

import zlib

import numpy as np
import torch
from torch import Tensor

from harness.data.arrays import Floats
from harness.data.subject import Subject
from harness.readouts.weight_change import adapter_factors, checkpoint_deltas

SIDE = 24
ENTRIES = SIDE * SIDE


def weight_sketch(base: Subject, subject: Subject) -> Floats:
    """The sketch of `subject`'s weights minus those of `base`, [ENTRIES], of unit length; all zero where no matrix changed.

    OSError and ValueError where the weight files cannot be read.
    """
    total = torch.zeros(SIDE, SIDE, dtype=torch.float64)
    if subject.adapter is not None:
        for name, down, up, scale in adapter_factors(subject.adapter):
            left, right = _signs(name, up.shape[0], "left"), _signs(name, down.shape[1], "right")
            total += scale * (left.T @ up) @ (down @ right)
    else:
        for name, delta in checkpoint_deltas(base.base, subject.base):
            left, right = _signs(name, delta.shape[0], "left"), _signs(name, delta.shape[1], "right")
            total += left.T @ (delta.double() @ right)
    length = float(total.norm())
    return np.asarray((total / length if length else total).numpy().reshape(-1), dtype=np.float64)


def _signs(name: str, size: int, side: str) -> Tensor:
    """Random signs, [size, SIDE], over √SIDE."""
    generator = torch.Generator().manual_seed(zlib.crc32(f"{side}/{name}".encode()))
    signs: Tensor = (torch.randint(0, 2, (size, SIDE), generator=generator).double() * 2 - 1) / SIDE**0.5
    return signs
