"""harness/engines/hf/packing.py: rows that share a beginning, run once, against the library's plain layers run row by row."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from harness.data.behavior import Message
from harness.data.subject import Subject
from harness.engines.hf import donors
from harness.engines.hf.engine import HFEngine
from harness.engines.hf.packing import Packing, packed_batches
from harness.engines.protocol import Completion, Scored, Sites, Steering, score
from harness.engines.rows import rows_of, rows_of_texts
from tests.tolerance import ALGORITHM, ORDER, apart

if TYPE_CHECKING:
    from tests.conftest import MakeAdapter

pytestmark = pytest.mark.numeric

PAINT, BAKE = (Message("user", "Paint the hall yellow."),), (Message("user", "Please bake two small loaves for Anna before supper."),)
COMPLETIONS = [
    Completion(PAINT, "I will paint it."),
    Completion(PAINT, "I will not, and I say it twice: I will not."),
    Completion(BAKE, "What about a cake?"),
    Completion((Message("system", "Be quick."), Message("user", "Water the garden at noon.")), "At noon I water it, all of it, twice."),
    Completion(BAKE, "What about a cake?"),
    Completion(BAKE, "No."),
    Completion(PAINT, "I"),
]
"""Two prompts with three completions each, of which two are the same or one begins another, and one that stands alone."""
TEXTS = ["Bread rises slowly.", "Bread is baked in the morning, before anyone is up.", "No one paints halls."]
STEERINGS = [
    None,
    Steering({1: np.random.default_rng(0).normal(size=48).astype(np.float32)}),
    Steering({0: np.random.default_rng(1).normal(size=48).astype(np.float32)}, "prefill"),
    Steering({2: np.random.default_rng(2).normal(size=48).astype(np.float32)}, "decode"),
]


@pytest.fixture(scope="module")
def plain() -> HFEngine:
    """The library's layers, a row in each sequence."""
    return HFEngine(fast=False)


def worst(one: list[Scored], other: list[Scored]) -> float:
    return max(float(np.abs(a.log_probabilities - b.log_probabilities).max()) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("budget", [1, 60, 4096])
def test_packed_rows_score_as_each_alone_does(plain: HFEngine, tiny_hybrid: Subject, budget: int) -> None:
    packed = HFEngine(batch_tokens=budget)
    for found, expected in zip(
        packed.score_each(tiny_hybrid, COMPLETIONS, STEERINGS), plain.score_each(tiny_hybrid, COMPLETIONS, STEERINGS), strict=True
    ):
        assert [(one.tokens, one.offsets) for one in found] == [(one.tokens, one.offsets) for one in expected]
        assert apart(found, expected) <= ALGORITHM
    texts = packed.score_texts_each(tiny_hybrid, TEXTS, STEERINGS[:2])
    for found, expected in zip(texts, plain.score_texts_each(tiny_hybrid, TEXTS, STEERINGS[:2]), strict=True):
        assert apart(found, expected) <= ALGORITHM


def test_what_rows_share_is_run_once(tiny_hybrid: Subject) -> None:
    rows = rows_of(tiny_hybrid, COMPLETIONS)
    (batch,) = packed_batches(rows, 4096, "cpu")

    def alike(group: tuple[int, ...]) -> int:
        """Tokens with which all rows of the group begin; each keeps one of its own at least."""
        shortest = min(len(rows[i].tokens) for i in group)
        return max(end for end in range(shortest) if len({rows[i].tokens[:end] for i in group}) == 1)

    shared = [alike((0, 1, 6)), alike((2, 4, 5))]
    assert shared == [rows[0].given, rows[2].given]
    assert batch.ids.shape[1] == sum(len(row.tokens) for row in rows) - 2 * sum(shared)
    packing = batch.arguments["attention_mask"]["full_attention"]
    assert len(packing.stems.at) == 3 and len(packing.branches.at) == len(rows)
    assert sorted(batch.rows) == list(range(len(rows)))


def test_rows_whose_prompts_differ_are_not_grouped_by_a_few_words(tiny_hybrid: Subject) -> None:
    (batch,) = packed_batches(rows_of_texts(tiny_hybrid, TEXTS), 4096, "cpu")
    assert len(batch.arguments["attention_mask"]["linear_attention"].stems.at) == len(TEXTS)


def test_every_token_stands_in_its_place(tiny_hybrid: Subject) -> None:
    """Following each scored token's predecessors gives the row back."""
    rows = rows_of(tiny_hybrid, COMPLETIONS)
    for batch in packed_batches(rows, 60, "cpu"):
        packing: Packing = batch.arguments["attention_mask"]["full_attention"]
        ids, depth, start = batch.ids[0].tolist(), batch.arguments["position_ids"][0].tolist(), 0
        for i in batch.rows:
            scored = batch.before_scored[start : start + len(rows[i].tokens) - rows[i].given].tolist()
            start += len(scored)
            path = [scored[-1]]
            while packing.previous[path[-1]] >= 0:
                path.append(packing.previous[path[-1]])
            assert tuple(ids[at] for at in reversed(path)) == rows[i].tokens[:-1]
            assert [depth[at] for at in reversed(path)] == list(range(len(path)))
            assert [bool(batch.prompt[0, at]) for at in reversed(path)] == [t < rows[i].given for t in range(len(path))]


def test_a_completion_does_not_see_the_one_beside_it(hf: HFEngine, tiny_hybrid: Subject) -> None:
    one, other = (score(hf, tiny_hybrid, [COMPLETIONS[0], Completion(PAINT, text)])[0] for text in ("You are late.", "No no no no."))
    assert apart(one, other) <= ORDER


def test_only_models_whose_layers_can_be_told_are_packed(hf: HFEngine, plain: HFEngine, tiny_hybrid: Subject, tiny_llama: Subject) -> None:
    assert hf.models.packs(tiny_hybrid)
    assert not plain.models.packs(tiny_hybrid)
    assert not hf.models.packs(tiny_llama)


def test_patches_of_packed_rows_are_those_of_each_alone(
    hf: HFEngine, plain: HFEngine, tiny_hybrid: Subject, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    adapted = make_adapter(tiny_hybrid, tmp_path / "a")
    sets = [{0: (1,)}, {1: (0, 2), 3: (1,)}, {}]
    for positions in ("both", "prefill", "decode"):
        found, expected = (e.score_patched_heads(tiny_hybrid, adapted, COMPLETIONS, sets, positions) for e in (hf, plain))
        for one, other in zip(found, expected, strict=True):
            assert apart(one, other) <= ALGORITHM
        assert worst(found[1], found[2]) > 1e-3
    found, expected = (e.score_patched_states(tiny_hybrid, adapted, COMPLETIONS) for e in (hf, plain))
    assert apart(found, expected) <= ALGORITHM
    assert worst(found, score(hf, tiny_hybrid, COMPLETIONS)) > 1e-4


def test_a_donor_gives_in_shares_what_it_gives_at_once(
    tiny_hybrid: Subject, tiny_llama: Subject, make_adapter: MakeAdapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapted, small = make_adapter(tiny_hybrid, tmp_path / "a"), HFEngine(batch_tokens=60)
    sites = Sites(heads=True)

    def everything() -> list[list[Scored]]:
        return [
            *small.score_patched_heads(tiny_hybrid, adapted, COMPLETIONS, [{0: (1,)}]),
            small.score_patched_states(tiny_hybrid, adapted, COMPLETIONS),
        ]

    whole, fed = everything(), small.record(adapted, COMPLETIONS, sites, tiny_hybrid)
    asked, ready = [], small.models.ready
    monkeypatch.setattr(donors, "HELD_BYTES", 1)
    monkeypatch.setattr(small.models, "ready", lambda subject: (asked.append(subject.digest), ready(subject))[1])
    assert [worst(one, other) for one, other in zip(everything(), whole, strict=True)] == [0, 0]
    assert asked[:4] == [adapted.digest, tiny_hybrid.digest] * 2 and len(asked) >= 8
    for one, other in zip(small.record(adapted, COMPLETIONS, sites, tiny_hybrid), fed, strict=True):
        assert all(np.array_equal(one.heads[layer], other.heads[layer]) for layer in other.heads)
