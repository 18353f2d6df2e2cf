"""harness/recorders against the eager implementation and against what is known exactly; nothing stays behind."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from harness.data.behavior import Message
from harness.data.subject import Subject
from harness.engines.chat import encode_prompt, encode_reply, tokenizer_of
from harness.engines.hf.engine import HFEngine
from harness.engines.protocol import Completion, Recorded, Sites, score
from harness.recorders.attention import record_attention
from harness.recorders.heads import head_layouts, record_heads
from harness.recorders.residual import add_to_residual, record_residual
from tests.tolerance import ALGORITHM, ORDER, apart

if TYPE_CHECKING:
    from tests.conftest import MakeAdapter

pytestmark = pytest.mark.numeric

COMPLETIONS = [
    Completion((Message("user", "Paint the hall yellow."),), "I will paint it."),
    Completion((Message("user", "Please bake two small loaves of bread for Anna before supper."),), "What about a cake?"),
    Completion((Message("system", "Be quick."), Message("user", "Water the garden at noon.")), "At noon I water it, all of it, twice."),
]
EVERYTHING = Sites(attention=True, heads=True, residual_layers=(0, 1))


@pytest.fixture(params=["hybrid", "llama", "mistral"])
def base(request: pytest.FixtureRequest) -> Subject:
    subject: Subject = request.getfixturevalue(f"tiny_{request.param}")
    return subject


def tokens_of(hf: HFEngine, base: Subject, completion: Completion) -> tuple[torch.Tensor, int]:
    prompt = encode_prompt(tokenizer_of(base), completion.messages).tokens
    return torch.tensor([[*prompt, *encode_reply(tokenizer_of(base), completion.text)]]), len(prompt)


def eager(base: Subject) -> Any:
    model: Any = AutoModelForCausalLM.from_pretrained(base.base, dtype=torch.float32, attn_implementation="eager")
    return model.eval()


# -- attention -----------------------------------------------------------------------------------------------------


def test_attention_rows_are_those_of_the_eager_implementation(hf: HFEngine, base: Subject) -> None:
    model = eager(base)
    recorded = hf.record(base, COMPLETIONS, Sites(attention=True))
    for completion, one in zip(COMPLETIONS, recorded, strict=True):
        ids, given = tokens_of(hf, base, completion)
        with torch.inference_mode():
            attentions = model(input_ids=ids, output_attentions=True, use_cache=False).attentions
        expected = np.stack([layer[0, :, given - 1 : given, :given].numpy() for layer in attentions if layer is not None])
        assert one.attention is not None
        assert apart(one.attention, expected) <= ALGORITHM
        assert apart(one.attention.sum(-1), np.ones(one.attention.sum(-1).shape)) <= ORDER
        assert expected.std() > 0.01


def test_a_hybrid_has_rows_for_its_full_attention_layers_only(hf: HFEngine, tiny_hybrid: Subject) -> None:
    attention = hf.record(tiny_hybrid, COMPLETIONS[:1], Sites(attention=True))[0].attention
    assert attention is not None
    assert attention.shape[:2] == (2, 4)


def test_recording_attention_leaves_the_model_as_it_was(hf: HFEngine, base: Subject) -> None:
    before = score(hf, base, COMPLETIONS)
    model = hf.base_model(base)
    with pytest.raises(RuntimeError, match="in the middle"), record_attention(model):
        assert model.config._attn_implementation != "sdpa"
        raise RuntimeError("in the middle")
    assert model.config._attn_implementation == "sdpa"
    hf.record(base, COMPLETIONS, EVERYTHING)
    assert model.config._attn_implementation == "sdpa"
    for one, other in zip(score(hf, base, COMPLETIONS), before, strict=True):
        assert np.array_equal(one.log_probabilities, other.log_probabilities)


def test_recording_attention_does_not_change_the_output(hf: HFEngine, base: Subject) -> None:
    model, (ids, given) = hf.base_model(base), tokens_of(hf, base, COMPLETIONS[1])
    with torch.inference_mode():
        plain = model(input_ids=ids, use_cache=False).logits
        with record_attention(model) as record:
            record.positions = torch.tensor([[given - 1, 0]])
            tapped = model(input_ids=ids, use_cache=False).logits
    assert torch.equal(plain, tapped)
    for rows in record.rows.values():
        assert rows.shape == (1, 4, 2, ids.shape[1])
        assert torch.equal(rows[0, :, 1, 0], torch.ones(4))  # the first token sees itself alone


# -- head outputs --------------------------------------------------------------------------------------------------


def test_head_outputs_are_what_the_projection_mixes(hf: HFEngine, base: Subject) -> None:
    layers, given = hf.base_model(base).get_decoder().layers, tokens_of(hf, base, COMPLETIONS[0])[1]
    mixed: dict[int, torch.Tensor] = {}
    layouts = head_layouts(layers)
    handles = [
        layout.projection.register_forward_hook(lambda _m, _i, output, index=index: mixed.update({index: output}))
        for index, layout in layouts.items()
    ]
    recorded = hf.record(base, COMPLETIONS[:1], Sites(heads=True))[0]
    for handle in handles:
        handle.remove()
    assert set(recorded.heads) == set(range(len(layers)))
    for index, heads in recorded.heads.items():
        assert heads.shape[:2] == (1, layouts[index].heads) == (1, 4)
        weight = layouts[index].projection.get_parameter("weight").detach().numpy()
        assert apart(weight @ heads.ravel(), mixed[index][0, given - 1].numpy()) <= ORDER


def test_kinds_of_heads_follow_the_layers(hf: HFEngine, tiny_hybrid: Subject, tiny_llama: Subject) -> None:
    def kinds(subject: Subject) -> list[str]:
        return [layout.kind for layout in head_layouts(hf.base_model(subject).get_decoder().layers).values()]

    assert kinds(tiny_hybrid) == ["gated_delta_net", "attention"] * 2
    assert kinds(tiny_llama) == ["attention"] * 3


def test_layers_before_the_first_adapted_one_do_not_change_at_all(
    hf: HFEngine, tiny_hybrid: Subject, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    subject = make_adapter(tiny_hybrid, tmp_path / "a", ["q_proj", "k_proj", "v_proj", "o_proj"])
    before, after = (hf.record(s, COMPLETIONS, Sites(heads=True)) for s in (tiny_hybrid, subject))

    def change(one: Recorded, other: Recorded, layer: int) -> float:
        return float(np.abs(one.heads[layer] - other.heads[layer]).max())

    for one, other in zip(before, after, strict=True):
        assert change(one, other, 0) == 0
        assert min(change(one, other, layer) for layer in (1, 2, 3)) > 1e-3


def test_an_adapted_layer_says_something_else_through_every_module(
    hf: HFEngine, tiny_hybrid: Subject, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    before = hf.record(tiny_hybrid, COMPLETIONS[:1], Sites(heads=True))[0].heads
    for module in ("in_proj_qkv", "in_proj_z", "in_proj_b", "in_proj_a"):
        subject = make_adapter(tiny_hybrid, tmp_path / module, [module])
        after = hf.record(subject, COMPLETIONS[:1], Sites(heads=True))[0].heads
        assert np.abs(after[0] - before[0]).max() > 1e-5, module


# -- residual stream -----------------------------------------------------------------------------------------------


def test_residual_streams_are_the_hidden_states(hf: HFEngine, base: Subject) -> None:
    model = eager(base)
    for completion, one in zip(COMPLETIONS, hf.record(base, COMPLETIONS, Sites(residual_layers=(0, 1))), strict=True):
        ids, given = tokens_of(hf, base, completion)
        with torch.inference_mode():
            states = model(input_ids=ids, output_hidden_states=True, use_cache=False).hidden_states
            with record_residual(model.get_decoder().layers, (0, 1)) as streams:
                model(input_ids=ids, use_cache=False)
        assert apart(streams[0], states[1]) <= ORDER
        for layer, stream in streams.items():
            assert apart(one.residual[layer], stream[0, given:].mean(0)) <= ALGORITHM  # chunks of 16 against 64
            assert apart(one.norms[layer], stream[0, 1:].norm(dim=-1).median()) <= ALGORITHM


def test_recordings_do_not_depend_on_the_batch(hf: HFEngine, base: Subject) -> None:
    together, alone = (engine.record(base, COMPLETIONS, EVERYTHING) for engine in (hf, HFEngine(batch_tokens=1)))
    for one, other in zip(together, alone, strict=True):
        assert apart(np.asarray(one.attention), np.asarray(other.attention)) <= ORDER
        for layer in one.heads:
            assert apart(one.heads[layer], other.heads[layer]) <= ORDER
        for layer in one.residual:
            assert apart(one.residual[layer], other.residual[layer]) <= ORDER


@pytest.mark.parametrize("where", ["everywhere", "prompt", "nowhere"])
def test_exactly_the_vector_is_added_exactly_there(hf: HFEngine, base: Subject, where: str) -> None:
    model, (ids, given) = hf.base_model(base), tokens_of(hf, base, COMPLETIONS[2])
    layers = model.get_decoder().layers
    added = torch.randn(48, generator=torch.Generator().manual_seed(0))
    inside = torch.arange(ids.shape[1])[None] < (given if where == "prompt" else 0)
    mask = None if where == "everywhere" else inside
    with (
        torch.inference_mode(),
        record_residual(layers, (1,)) as before,
        add_to_residual(layers, {1: added}, lambda: mask),
        record_residual(layers, (1,)) as after,
    ):
        model(input_ids=ids, use_cache=False)
    expected = before[1] + (added if mask is None else added * inside[..., None])
    assert torch.equal(after[1], expected)
    assert torch.equal(after[1], before[1]) == (where == "nowhere")


def test_hooks_are_gone_after_the_block(hf: HFEngine, base: Subject) -> None:
    layers = hf.base_model(base).get_decoder().layers
    with pytest.raises(RuntimeError, match="in the middle"), add_to_residual(layers, {0: torch.ones(48)}, lambda: None):
        raise RuntimeError("in the middle")
    hf.record(base, COMPLETIONS, EVERYTHING)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in layers.modules())


def test_record_heads_needs_no_engine(hf: HFEngine, tiny_llama: Subject) -> None:
    model, (ids, _) = hf.base_model(tiny_llama), tokens_of(hf, tiny_llama, COMPLETIONS[0])
    with torch.inference_mode(), record_heads(model.get_decoder().layers) as heads:
        model(input_ids=ids, use_cache=False)
    assert {layer: tuple(out.shape) for layer, out in heads.items()} == {i: (1, ids.shape[1], 4, 12) for i in range(3)}


def test_rows_and_heads_of_the_whole_reply_hold_those_of_its_start(hf: HFEngine, base: Subject) -> None:
    start, reply = (hf.record(base, COMPLETIONS, Sites(attention=True, heads=True, reply=whole)) for whole in (False, True))
    for completion, one, other in zip(COMPLETIONS, start, reply, strict=True):
        rows, given = len(encode_reply(tokenizer_of(base), completion.text)), tokens_of(hf, base, completion)[1]
        assert one.attention is not None
        assert other.attention is not None
        assert (one.attention.shape[2:], other.attention.shape[2:]) == ((1, given), (rows, given + rows - 1))
        assert apart(other.attention[:, :, 0, :given], one.attention[:, :, 0]) <= ORDER
        assert apart(other.attention.sum(-1), np.ones(other.attention.sum(-1).shape)) <= ORDER
        for layer, heads in other.heads.items():
            assert heads.shape[0] == rows
            assert apart(heads[:1], one.heads[layer]) <= ORDER
