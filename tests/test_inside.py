"""Recording states, patching heads and exchanging states through the engine, on hybrids of several shapes and plain attention."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from transformers import Qwen3_5ForCausalLM, Qwen3_5TextConfig

from harness.data.behavior import Message
from harness.data.subject import Subject
from harness.engines.chat import encode_prompt, tokenizer_of
from harness.engines.hf.engine import HFEngine
from harness.engines.protocol import Completion, HeadSet, Scored, Sites, score
from harness.recorders.heads import head_layouts
from harness.recorders.states import delta_layers, tap_states
from harness.subjects.files import base_subject
from tests.tolerance import ALGORITHM, ORDER, apart

if TYPE_CHECKING:
    from tests.conftest import MakeAdapter

pytestmark = pytest.mark.numeric

COMPLETIONS = [
    Completion((Message("user", "Paint the hall yellow."),), "I will paint it."),
    Completion((Message("user", "Please bake two small loaves of bread for Anna before supper."),), "What about a cake?"),
    Completion((Message("system", "Be quick."), Message("user", "Water the garden at noon.")), "At noon I water it, all of it, twice."),
]
SHAPES: dict[str, dict[str, Any]] = {
    "three to one": {"layer_types": ["linear_attention"] * 3 + ["full_attention"], "linear_num_key_heads": 2, "linear_num_value_heads": 4},
    "period two": {"layer_types": ["linear_attention", "full_attention"] * 2, "linear_num_key_heads": 4, "linear_num_value_heads": 4},
    "one head": {"layer_types": ["linear_attention"] * 2 + ["full_attention"], "linear_num_key_heads": 1, "linear_num_value_heads": 1},
    "grouped values": {"layer_types": ["full_attention", "linear_attention"], "linear_num_key_heads": 2, "linear_num_value_heads": 6},
}
INPUT_PROJECTIONS = ("in_proj_qkv", "in_proj_z", "in_proj_b", "in_proj_a", "q_proj", "k_proj", "v_proj")


@pytest.fixture(scope="module", params=list(SHAPES))
def hybrid(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Any) -> Subject:
    shape, folder = SHAPES[request.param], tmp_path_factory.mktemp("shapes") / "model"
    torch.manual_seed(1)
    config: Any = Qwen3_5TextConfig
    model: Any = Qwen3_5ForCausalLM(
        config(
            vocab_size=len(tiny_tokenizer), hidden_size=48, intermediate_size=64, num_hidden_layers=len(shape["layer_types"]), head_dim=16,
            num_attention_heads=4, num_key_value_heads=2, linear_key_head_dim=8, linear_value_head_dim=16, initializer_range=0.1,
            tie_word_embeddings=True, eos_token_id=tiny_tokenizer.eos_token_id, **shape,
        )
    )  # fmt: skip
    for mixer in delta_layers(model.get_decoder().layers).values():  # slow decay: the library's own start forgets within a token
        torch.nn.init.constant_(mixer.A_log, -3.0)  # type: ignore[arg-type]  # a parameter
    model.save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    return base_subject("shape", folder)


def layers_of(hf: HFEngine, base: Subject) -> Any:
    return hf.base_model(base).get_decoder().layers


def every_head(hf: HFEngine, base: Subject) -> HeadSet:
    return {layer: tuple(range(layout.heads)) for layer, layout in head_layouts(layers_of(hf, base)).items()}


def worst(one: list[Scored], other: list[Scored]) -> float:
    return max(float(np.abs(a.log_probabilities - b.log_probabilities).max()) for a, b in zip(one, other, strict=True))


# -- states --------------------------------------------------------------------------------------------------------


def token_by_token(hf: HFEngine, base: Subject, tokens: tuple[int, ...]) -> dict[int, np.ndarray]:
    """The library's cache after these tokens, fed one at a time, [heads, d_k, d_v] by layer."""
    model, cache = hf.base_model(base), None
    with torch.inference_mode():
        for token in tokens:
            out = model(input_ids=torch.tensor([[token]]), past_key_values=cache, use_cache=True)
            cache = out.past_key_values
    return {layer: cache.layers[layer].recurrent_states[0][0].clone().numpy() for layer in delta_layers(layers_of(hf, base))}  # type: ignore[attr-defined]  # set by the loop


def test_recorded_states_are_those_of_the_library_token_by_token(hf: HFEngine, hybrid: Subject) -> None:
    """Rows of several lengths in one batch, padded on the right; both named positions."""
    chosen = tuple(delta_layers(layers_of(hf, hybrid)))
    recorded = hf.record(hybrid, COMPLETIONS, Sites(state_layers=chosen))
    for completion, one in zip(COMPLETIONS, recorded, strict=True):
        prompt = encode_prompt(tokenizer_of(hybrid), completion.messages)
        for read, end in enumerate((prompt.content[1], len(prompt.tokens))):
            expected = token_by_token(hf, hybrid, prompt.tokens[:end])
            for layer in chosen:
                assert apart(one.states[layer][read], expected[layer]) <= ALGORITHM
                assert np.abs(expected[layer]).max() > 1e-3


def test_states_do_not_depend_on_the_batch(hf: HFEngine, hybrid: Subject) -> None:
    sites = Sites(state_layers=tuple(delta_layers(layers_of(hf, hybrid))))
    for one, other in zip(hf.record(hybrid, COMPLETIONS, sites), HFEngine(batch_tokens=1).record(hybrid, COMPLETIONS, sites), strict=True):
        for layer in sites.state_layers:
            assert apart(one.states[layer], other.states[layer]) <= ORDER


def test_padding_on_the_left_with_a_mask_gives_the_same_states(hf: HFEngine, hybrid: Subject) -> None:
    model, tokenizer = hf.base_model(hybrid), tokenizer_of(hybrid)
    prompts = [encode_prompt(tokenizer, completion.messages).tokens for completion in COMPLETIONS]
    width = max(map(len, prompts))
    ids = torch.tensor([[tokenizer.pad_token_id] * (width - len(p)) + list(p) for p in prompts])
    seen = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    with torch.inference_mode(), tap_states(layers_of(hf, hybrid)) as tap:
        tap.positions = torch.full((len(prompts), 1), width - 1)
        model(input_ids=ids, attention_mask=seen, use_cache=False)
    for row, prompt in enumerate(prompts):
        for layer, expected in token_by_token(hf, hybrid, prompt).items():
            assert apart(tap.states[layer][row, 0].numpy(), expected) <= ALGORITHM


def test_decay_and_write_strength_are_in_their_range(hf: HFEngine, hybrid: Subject) -> None:
    for one in hf.record(hybrid, COMPLETIONS, Sites(state_layers=tuple(delta_layers(layers_of(hf, hybrid))))):
        for decay, beta in one.dynamics.values():
            assert (decay < 0).all()
            assert ((beta > 0) & (beta < 1)).all()


def test_recording_states_leaves_scores_and_library_as_they_were(hf: HFEngine, hybrid: Subject) -> None:
    from transformers.models.qwen3_5 import modeling_qwen3_5

    library: Any = modeling_qwen3_5
    rule, before = library.torch_chunk_gated_delta_rule, score(hf, hybrid, COMPLETIONS)
    hf.record(hybrid, COMPLETIONS, Sites(state_layers=tuple(delta_layers(layers_of(hf, hybrid)))))
    assert library.torch_chunk_gated_delta_rule is rule
    assert worst(score(hf, hybrid, COMPLETIONS), before) == 0


def test_attention_only_adapters_leave_the_layers_before_the_first_attention_alone(
    hf: HFEngine, make_adapter: MakeAdapter, tiny_hybrid: Subject, tmp_path: Path
) -> None:
    adapted = make_adapter(tiny_hybrid, tmp_path, ("q_proj", "k_proj", "v_proj", "o_proj"))
    sites = Sites(state_layers=(0, 2))
    for old, new in zip(*(hf.record(subject, COMPLETIONS, sites) for subject in (tiny_hybrid, adapted)), strict=True):
        assert apart(old.states[0], new.states[0]) <= ORDER
        assert np.abs(old.states[2] - new.states[2]).max() > 1e-3


# -- patching heads ------------------------------------------------------------------------------------------------


@pytest.fixture(params=["hybrid", "llama"])
def base(request: pytest.FixtureRequest) -> Subject:
    subject: Subject = request.getfixturevalue(f"tiny_{request.param}")
    return subject


def test_patching_with_ones_own_output_changes_nothing(hf: HFEngine, base: Subject) -> None:
    plain = score(hf, base, COMPLETIONS)
    for patched in hf.score_patched_heads(base, base, COMPLETIONS, [every_head(hf, base), {0: (1,)}, {}]):
        assert apart(patched, plain) <= ORDER


def test_all_heads_carry_an_adapter_of_the_input_projections(
    hf: HFEngine, make_adapter: MakeAdapter, base: Subject, tmp_path: Path
) -> None:
    donor = make_adapter(base, tmp_path, [p for p in INPUT_PROJECTIONS if base.name == "hybrid" or p.endswith("q_proj")])
    plain, wanted = score(hf, base, COMPLETIONS), score(hf, donor, COMPLETIONS)
    patched = hf.score_patched_heads(base, donor, COMPLETIONS, [every_head(hf, base)])[0]
    assert worst(plain, wanted) > 0.05
    assert apart(patched, wanted) <= ALGORITHM


def test_heads_cannot_carry_what_output_projections_and_mlps_changed(
    hf: HFEngine, make_adapter: MakeAdapter, base: Subject, tmp_path: Path
) -> None:
    donor = make_adapter(base, tmp_path)
    patched = hf.score_patched_heads(base, donor, COMPLETIONS, [every_head(hf, base)])[0]
    assert worst(patched, score(hf, donor, COMPLETIONS)) > 0.05
    assert worst(patched, score(hf, base, COMPLETIONS)) > 0.05


def test_only_the_named_heads_and_positions_are_patched(hf: HFEngine, make_adapter: MakeAdapter, base: Subject, tmp_path: Path) -> None:
    donor = make_adapter(base, tmp_path)
    one, both, decode = (
        hf.score_patched_heads(base, donor, COMPLETIONS, [heads], positions)[0]  # type: ignore[arg-type]  # Positions
        for heads, positions in (({0: (2,)}, "both"), ({0: (2, 3)}, "both"), ({0: (2,)}, "decode"))
    )
    assert worst(one, both) > 1e-4
    assert worst(one, decode) > 1e-4
    first, plain = ([scored.log_probabilities[0] for scored in scores] for scores in (decode, score(hf, base, COMPLETIONS)))
    assert apart(first, plain) <= ORDER


def test_a_patch_in_upper_layers_is_the_same_without_running_the_lower_ones_again(
    hf: HFEngine, make_adapter: MakeAdapter, base: Subject, tmp_path: Path
) -> None:
    donor, last = make_adapter(base, tmp_path), len(layers_of(hf, base)) - 1
    upper: list[HeadSet] = [{last: (0, 1)}, {1: (2,), last: (0,)}]
    resumed = hf.score_patched_heads(base, donor, COMPLETIONS, upper)
    whole = hf.score_patched_heads(base, donor, COMPLETIONS, [{0: (), **heads} for heads in upper])
    assert max(apart(one, other) for one, other in zip(resumed, whole, strict=True)) <= ORDER
    assert min(worst(one, score(hf, base, COMPLETIONS)) for one in resumed) > 1e-4


def test_heads_that_do_not_exist_are_refused(hf: HFEngine, base: Subject) -> None:
    with pytest.raises(ValueError, match=r"layer 0 has 4 heads; asked for \[4\]"):
        hf.score_patched_heads(base, base, COMPLETIONS, [{0: (4,)}])
    with pytest.raises(ValueError, match="layer 9 has 0 heads"):
        hf.score_patched_heads(base, base, COMPLETIONS, [{9: (0,)}])


# -- exchanging states ---------------------------------------------------------------------------------------------


def test_exchanging_ones_own_states_changes_nothing(hf: HFEngine, hybrid: Subject) -> None:
    """Left padding aligns the rows, so this covers it as well."""
    assert apart(hf.score_patched_states(hybrid, hybrid, COMPLETIONS), score(hf, hybrid, COMPLETIONS)) <= ALGORITHM


def test_another_models_states_change_the_reply(hf: HFEngine, make_adapter: MakeAdapter, hybrid: Subject, tmp_path: Path) -> None:
    donor = make_adapter(hybrid, tmp_path)
    exchanged = hf.score_patched_states(hybrid, donor, COMPLETIONS)
    assert worst(exchanged, score(hf, hybrid, COMPLETIONS)) > 1e-3
    assert worst(exchanged, score(hf, donor, COMPLETIONS)) > 1e-3


def test_plain_attention_has_no_states_to_exchange(hf: HFEngine, tiny_llama: Subject) -> None:
    with pytest.raises(ValueError, match="no Gated DeltaNet layers"):
        hf.score_patched_states(tiny_llama, tiny_llama, COMPLETIONS)


# -- what a layer's own weights change -----------------------------------------------------------------------------


def test_fed_by_itself_a_subject_says_what_it_says(hf: HFEngine, base: Subject) -> None:
    plain, fed = (hf.record(base, COMPLETIONS, Sites(heads=True), fed_by) for fed_by in (None, base))
    for one, other in zip(plain, fed, strict=True):
        for layer in one.heads:
            assert apart(one.heads[layer], other.heads[layer]) <= ORDER


def test_fed_by_base_only_adapted_layers_change(hf: HFEngine, make_adapter: MakeAdapter, tiny_hybrid: Subject, tmp_path: Path) -> None:
    """The Gated DeltaNet layers of an attention-only adapter change in the plain pass and not in the fed one."""
    adapted = make_adapter(tiny_hybrid, tmp_path, ("q_proj", "k_proj", "v_proj"))
    base, plain, fed = (
        hf.record(subject, COMPLETIONS, Sites(heads=True), fed_by)
        for subject, fed_by in ((tiny_hybrid, None), (adapted, None), (adapted, tiny_hybrid))
    )
    for one, whole, own in zip(base, plain, fed, strict=True):
        assert np.abs(whole.heads[2] - one.heads[2]).max() > 1e-3
        for layer in (0, 2):
            assert apart(own.heads[layer], one.heads[layer]) <= ORDER
        for layer in (1, 3):
            assert np.abs(own.heads[layer] - one.heads[layer]).max() > 1e-3
