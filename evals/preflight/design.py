"""Preflight's ids, units and size. Nothing else repeats them."""

from __future__ import annotations

from collections.abc import Mapping

ADAPTER_IS_LIVE, ENGINES_AGREE, FINITE = "preflight.adapter_is_live", "preflight.engines_agree", "preflight.finite"
DATA, JUDGE = "preflight.data", "preflight.judge"

UNITS: Mapping[str, str] = {
    ADAPTER_IS_LIVE: "nats",
    ENGINES_AGREE: "nats per token",
    FINITE: "values",
    DATA: "failed checks",
    JUDGE: "share right",
}

HANDFUL = 8
"""Pairs that are scored. A few are enough: an adapter that is not loaded changes none of them, and weights are read from their files."""
