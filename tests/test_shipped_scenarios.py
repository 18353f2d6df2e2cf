"""fixtures/dreams: turns with a hand-given difficulty, and how far the model of difficulty agrees with them."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from fixtures.dreams import FOLDER, difficulty_model, labeled_turns
from harness.behaviors.files import load_behavior
from harness.behaviors.shipped import resolve_behavior, shipped_behaviors
from harness.dreams.difficulty import LEVELS, DifficultyModel, LabeledTurn

ROWS = [json.loads(line) for line in (FOLDER / "labelled.jsonl").read_text(encoding="utf-8").splitlines()]
DREAMED = [json.loads(line) for line in (FOLDER / "dreamed.jsonl").read_text(encoding="utf-8").splitlines()]


def test_every_text_is_its_own() -> None:
    rows = ROWS + DREAMED
    assert len({row["id"] for row in rows}) == len({row["text"] for row in rows}) == len(rows)
    assert len(ROWS) >= 200 and sum(row["split"] == "test" for row in ROWS) >= 45


def test_levels_are_balanced_in_both_splits_and_domains_are_not_shared() -> None:
    for split in ("dev", "test"):
        assert len(set(Counter(row["label"] for row in ROWS if row["split"] == split).values())) == 1
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


@pytest.mark.parametrize("file", ["labelled.jsonl", "dreamed.jsonl"])
def test_the_model_agrees_with_labels_it_was_not_fitted_to(file: str) -> None:
    """The rubric asks for a weighted kappa of .6 between two readers; less than that, and the rubric is to be mended."""
    turns = labeled_turns(file, "test")
    said = difficulty_model().labels([turn.text for turn in turns])
    assert cohen_kappa_score([LEVELS.index(t.label) for t in turns], [LEVELS.index(s) for s in said], weights="linear") > 0.6


def test_labels_permuted_over_the_turns_are_not_learned() -> None:
    turns = labeled_turns("labelled.jsonl", "dev")
    order = np.random.default_rng(0).permutation(len(turns))
    confused = DifficultyModel.fit([LabeledTurn(turn.text, turns[i].label) for turn, i in zip(turns, order, strict=True)])
    tested = labeled_turns("labelled.jsonl", "test")
    said = confused.labels([turn.text for turn in tested])
    assert cohen_kappa_score([LEVELS.index(t.label) for t in tested], [LEVELS.index(s) for s in said], weights="linear") < 0.3
    assert confused.version != difficulty_model().version


def test_a_level_without_turns_is_refused() -> None:
    with pytest.raises(ValueError, match="no turn is labeled middling"):
        DifficultyModel.fit([turn for turn in labeled_turns("labelled.jsonl", "dev") if turn.label != "middling"])
