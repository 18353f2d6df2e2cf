"""How long cycles train. A file of its own without torch, so that a design can name it when tests are collected."""

from __future__ import annotations

EXAMPLES = 4
"""Examples in one optimizer step."""


HEALTHY_STEPS = 48
"""Steps after which the behavior is learned: on the shipped weights its log-odds on dev pairs no longer rise."""


CYCLE_STEPS = (3, 6, 12, 24)
"""Numbers of steps after which a further cycle's adapter is kept: the doses of a degradation."""


NIGHTLY_STEPS = 6
"""Steps of one ordinary cycle: 24 examples."""


CORRECTION_STEPS = 6
"""Steps of a cycle of corrections."""
