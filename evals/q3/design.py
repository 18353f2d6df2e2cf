"""Q3's sizes, cut-offs and ids, each with its reason. Nothing else repeats them."""

from __future__ import annotations

from harness.data.arm import ArmKind

LOCALIZATION, STABILITY, LAYERS, RANK = "q3.localization", "q3.stability", "q3.layers", "q3.rank"

CONVERSATIONS = 40
"""Test scenarios that are recorded and patched: enough for both halves to rank a hundred heads; each costs a pass for every head set."""
SHARES = (0.03, 0.05, 0.1, 0.2, 0.35, 0.6)
"""Shares of all heads that are patched, beside one head and all of them: close together where "localized" and "diffuse" are decided."""
DRAWS = 2
"""Random head sets for each share, and as many that take their heads from the same layers as the top ones."""
RANKS = {"quick": (1, 2), "full": (1, 2, 4)}
"""LoRA ranks trained beside the full one."""
COMPARED: tuple[ArmKind, ...] = ("trained", "sham")
"""Kinds trained at each of these ranks: an effect needs no more."""
SUFFICES = 0.75
"""A rank suffices where it is shown to reach this share of the full rank's effect; as Q1's knee."""
LADDER_SEEDS = 8
"""Seeds whose sham ladders are made side by side: as many as Q7 asks for, so that both questions find the same ones in the store."""
NAMED = 10
"""Heads named in the report."""
