"""Q5's sizes, cut-offs and ids, each with its reason. Nothing else repeats them."""

from __future__ import annotations

from harness.readouts.forced_choice import PRIMARY

EFFECT, COHERENCE, SIGN, ANTI_STEERABLE = "q5.effect", "q5.coherence", "q5.sign", "q5.anti_steerable"
OVERCOMPLIANCE, ENGINE_PARITY, VIABILITY = "q5.overcompliance", "q5.engine_parity", "q5.viability"
GROWS = (EFFECT, SIGN, ANTI_STEERABLE, OVERCOMPLIANCE, VIABILITY)
"""Checks to which more scenarios add something: the cost is read from documents, the engines are compared on a handful."""

METRIC = PRIMARY
"""The metric of every shift but two: directions to refuse mark no decision, so they and what they are compared with use all tokens."""
FEW = 20
"""Pairs that vectors are often read from (Rimsky et al. 2024); that vector is measured beside the one of all train pairs."""
EXPONENT = 7
"""Labels are shuffled by the 127 other elements of a group of 2^7, the smallest with at least 99. The first six ranks have p ≤ .05,
and .0078 can be shown."""
PROBES, PROBE_DOSE = 2, 0.1
"""Mixtures of the pairs' differences, and their dose, along which the curvature of prose is measured at each layer: along single vectors it
lies within a factor of two of their mean, and at the doses that keep the language it is the smaller part of the cost."""
PARITY_DOSE = 0.4
"""Dose at which the engines are compared: a mistake moves the numbers by far more than rounding, and the model still makes sense."""
PARITY_SCENARIOS = 8
"""Test scenarios that both engines score under the vector: a mistake in steering shows in every one of them."""
AS_STEERABLE = 0.8
"""At least this ratio of the standardized shifts, behavior to simple feature, counts as being as steerable."""
