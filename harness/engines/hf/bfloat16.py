"""When a CPU multiplies matrices in bfloat16: for wide models, on a processor with units for it. torch loads when it is asked."""

from __future__ import annotations

WIDE = 512
"""Residual width up to which a CPU runs products in float32 in any case."""


def has_bfloat16_units() -> bool:
    """Whether this processor multiplies bfloat16 matrices in hardware and may use it (ATEN_CPU_CAPABILITY can forbid that)."""
    import torch

    units: bool = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return units and torch.backends.cpu.get_cpu_capability() == "AVX512"


def bfloat16_pays(width: int) -> bool:
    """Whether a CPU runs a model of this residual width faster with products in bfloat16.

    Above WIDE and with units for it, a third of the time. At width 192 casting costs more than it saves even then, and without units
    bfloat16 takes 6 to 8 times as long as float32 (both measured).
    """
    return width > WIDE and has_bfloat16_units()
