"""Cycles on record: what was measured, accepted and pinned; comparing and judging them again."""
