"""fixtures/dreams/labelled.jsonl: scenarios with a hand-given difficulty, for Q2, which is not there yet."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np

from fixtures.behaviors import resolve_behavior, shipped_behaviors
from harness.data.behavior_files import load_behavior

FILE = Path(__file__).resolve().parents[1] / "fixtures" / "dreams" / "labelled.jsonl"
ROWS = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
LEVELS = ("obvious", "middling", "subtle")


def test_every_row_is_whole_and_every_text_its_own() -> None:
    assert all(set(row) == {"id", "text", "domain", "label", "split"} for row in ROWS)
    assert len({row["id"] for row in ROWS}) == len({row["text"] for row in ROWS}) == len(ROWS) >= 60


def test_levels_are_balanced_in_both_splits_and_domains_are_not_shared() -> None:
    assert len(set(Counter((row["split"], row["label"]) for row in ROWS).values())) == 1
    domains = {split: {row["domain"] for row in ROWS if row["split"] == split} for split in ("dev", "test")}
    assert not domains["dev"] & domains["test"] and len(domains["dev"] | domains["test"]) >= 25


def test_neither_length_nor_topic_gives_the_level_away() -> None:
    means = [np.mean([len(row["text"].split()) for row in ROWS if row["label"] == level]) for level in LEVELS]
    assert max(means) <= 1.15 * min(means)
    assert all(Counter(row["label"] for row in ROWS if row["domain"] == domain).total() == 3 for domain in {r["domain"] for r in ROWS})


def test_openings_vary_and_no_text_is_a_pair_of_a_behavior() -> None:
    openings = Counter(tuple(row["text"].lower().split()[:3]) for row in ROWS)
    assert max(openings.values()) <= 3
    asked = {pair.messages[-1].content for name in shipped_behaviors() for pair in load_behavior(resolve_behavior(name)).pairs}
    assert not asked & {row["text"] for row in ROWS}
