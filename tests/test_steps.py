"""harness/engines/hf/steps.py and decoding.py: a token at a time equals the library's pass over the whole, and nobody sees a neighbor."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from harness.data.behavior import Message
from harness.data.subject import Subject
from harness.engines.hf import decoding, steps
from harness.engines.hf.engine import HFEngine
from harness.engines.hf.fast import WHOLE, has_fused_steps
from harness.engines.rows import Row
from tests.tolerance import ALGORITHM, apart

pytestmark = pytest.mark.numeric

TIMES, STEPS = 2, 9


def prompts_of(vocabulary: int, lengths: Sequence[int]) -> list[Row]:
    rng = torch.Generator().manual_seed(0)
    return [Row(tuple(torch.randint(vocabulary, (length,), generator=rng).tolist()), 0) for length in lengths]


@pytest.mark.parametrize("fold", [4, 64], ids=["two states of its own", "none"])
@pytest.mark.parametrize("lengths", [(9, 6, 1), (WHOLE + 5, 30)], ids=["short", "longer than one chunk"])
def test_a_token_at_a_time_is_a_pass_over_the_whole(
    tiny_hybrid: Subject, monkeypatch: pytest.MonkeyPatch, fold: int, lengths: tuple[int, ...]
) -> None:
    """Prompts of several lengths in several passes, each with two replies; half-way the first prompt and its replies are forgotten."""
    monkeypatch.setattr(decoding, "FOLD", fold)
    engine = HFEngine()
    whole = HFEngine(fast=False).base_model(tiny_hybrid)
    rows = prompts_of(whole.config.vocab_size, lengths)
    said = torch.randint(whole.config.vocab_size, (len(rows), TIMES, STEPS), generator=torch.Generator().manual_seed(1))
    steps_of: dict[tuple[int, int], list[Tensor]] = {(p, t): [] for p in range(len(rows)) for t in range(TIMES)}
    with engine.model(tiny_hybrid) as model:
        past, after = steps._after_prompts(model, rows, 0, budget=20)
        past.answer(TIMES)
        kept = torch.arange(len(rows))
        for step in range(STEPS):
            if step == STEPS // 2:
                past.keep(kept[1:])
                kept = kept[1:]
            positions = (past.lengths + past.said).repeat_interleave(TIMES)[:, None]
            hidden = steps._passed(model.get_decoder(), said[kept, :, step].flatten()[:, None], positions, past)[:, 0]
            past.advance()
            for one, (prompt, reply) in zip(hidden, ((p, t) for p in kept.tolist() for t in range(TIMES)), strict=True):
                steps_of[prompt, reply].append(one)
    with torch.inference_mode():
        for (prompt, reply), ours in steps_of.items():
            ids = torch.tensor([[*rows[prompt].tokens, *said[prompt, reply].tolist()]])
            theirs = whole.get_decoder()(input_ids=ids).last_hidden_state[0, len(rows[prompt].tokens) :]
            assert apart(torch.stack(ours), theirs[: len(ours)]) <= ALGORITHM
            assert apart(after[prompt], whole(input_ids=ids[:, : len(rows[prompt].tokens)]).logits[0, -1]) <= ALGORITHM
    assert [len(steps_of[p, 0]) for p in range(2)] == [STEPS // 2, STEPS]


def test_replies_are_the_librarys(hf: HFEngine, tiny_hybrid: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    """Greedy and drawn, over several states of their own; prompts of all lengths in one batch, and those that have ended dropped."""
    monkeypatch.setattr(decoding, "FOLD", 16)
    prompts = [(Message("user", text),) for text in ("Go.", "Paint the hall yellow before noon, please.", "Stay here. " * 40)]
    for temperature in (0.0, 1.0):
        ours, theirs = (
            engine.generate_each(tiny_hybrid, prompts, seeds=(1, 2), temperature=temperature, max_new_tokens=40)
            for engine in (hf, HFEngine(fast=False))
        )
        assert ours == theirs
    assert len({reply for each in ours for reply in each}) == 6


def test_only_fused_layers_take_steps(hf: HFEngine, tiny_hybrid: Subject, tiny_llama: Subject) -> None:
    found = []
    for engine, subject in ((hf, tiny_hybrid), (HFEngine(fast=False), tiny_hybrid), (hf, tiny_llama)):
        with engine.model(subject) as model:
            found.append(has_fused_steps(model))
    assert found == [True, False, False]
