"""harness/engines/hf/engine.py against transformers and peft themselves: same numbers, same text, nothing left behind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from scipy import stats
from transformers import AutoModelForCausalLM
from transformers.models.qwen3_5 import modeling_qwen3_5

from harness.arms.training import Training, TrainingSettings, train_adapters
from harness.data.behavior import Message
from harness.data.subject import Subject
from harness.engines.chat import encode_prompt, encode_reply, prompt_text, tokenizer_of
from harness.engines.hf import fast
from harness.engines.hf.bfloat16 import has_bfloat16_units
from harness.engines.hf.draws import Drawn, uniforms
from harness.engines.hf.engine import HFEngine
from harness.engines.hf.fast import has_fused_steps
from harness.engines.hf.models import KEPT_MODELS, Models
from harness.engines.protocol import Completion, Engine, Positions, Scored, Sites, Steering, generate, score, score_texts
from harness.recorders.residual import add_to_residual
from harness.subjects.files import base_subject
from tests.tolerance import ALGORITHM, ORDER, apart

if TYPE_CHECKING:
    from tests.conftest import MakeAdapter

pytestmark = pytest.mark.numeric

LONG = " ".join(["Please paint the kitchen green before the guests come on Friday, and use the small brush for the corners."] * 6)
CONVERSATIONS = (
    (Message("user", "Paint the hall yellow."),),
    (Message("user", "Good morning."), Message("assistant", "Good morning to you."), Message("user", "Bake two loaves for Anna.")),
    (Message("system", "You are quick."), Message("user", LONG)),
)
COMPLETIONS = [
    Completion(c, text)
    for c in CONVERSATIONS
    for text in ("I will paint it yellow.", "What about blue? It is warmer than that, and longer.")
]
TEXTS = ["The baker opened his shop at six.", LONG]


class HalfModels(Models):
    """As on a GPU: the checkpoint in half precision, adapters beside it."""

    def load(self, subject: Subject) -> Any:
        return super().load(subject).to(torch.bfloat16)


def half_engine() -> HFEngine:
    engine = HFEngine()
    engine.models = HalfModels(engine.device, engine.fast)
    return engine


@pytest.fixture(params=["hybrid", "llama"])
def base(request: pytest.FixtureRequest) -> Subject:
    subject: Subject = request.getfixturevalue(f"tiny_{request.param}")
    return subject


def plain_model(subject: Subject) -> Any:
    model: Any = AutoModelForCausalLM.from_pretrained(subject.base, dtype=torch.float32)
    return model.eval()


def own_scores(model: Any, prompt: tuple[int, ...], reply: tuple[int, ...]) -> np.ndarray:
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([[*prompt, *reply]])).logits[0].float().log_softmax(-1)
    return np.asarray(logits[torch.arange(len(reply)) + len(prompt) - 1, torch.tensor(reply)])


def worst(scored: list[Scored], other: list[Any]) -> float:
    pairs = zip(scored, other, strict=True)
    return max(float(np.abs(s.log_probabilities - (o.log_probabilities if isinstance(o, Scored) else o)).max()) for s, o in pairs)


def test_it_is_an_engine(hf: HFEngine) -> None:
    engine: Engine = hf
    assert engine.name == "hf"
    products = ", bfloat16 products above width 512" if has_bfloat16_units() else ""
    assert engine.numerics == f"cpu, float32, fused layers{products}"
    assert HFEngine(fast=False).numerics != engine.numerics


# -- scoring -------------------------------------------------------------------------------------------------------


def test_scores_are_transformers_own(hf: HFEngine, base: Subject) -> None:
    model, tokenizer = plain_model(base), tokenizer_of(base)
    expected = [own_scores(model, encode_prompt(tokenizer, c.messages).tokens, encode_reply(tokenizer, c.text)) for c in COMPLETIONS]
    scored = score(hf, base, COMPLETIONS)
    assert [s.tokens for s in scored] == [encode_reply(tokenizer, c.text) for c in COMPLETIONS]
    assert apart(scored, expected) <= ALGORITHM
    assert apart(scored[0].per_token, expected[0].mean()) <= ORDER


def test_texts_are_scored_from_their_second_token_on(hf: HFEngine, base: Subject) -> None:
    model, tokenizer = plain_model(base), tokenizer_of(base)
    tokens = [encode_reply(tokenizer, text) for text in TEXTS]
    scored = score_texts(HFEngine(fast=False), base, TEXTS)
    assert [s.tokens for s in scored] == [t[1:] for t in tokens]
    assert apart(scored, [own_scores(model, t[:1], t[1:]) for t in tokens]) <= ALGORITHM


def test_batch_composition_does_not_matter(hf: HFEngine, base: Subject) -> None:
    alone = HFEngine(batch_tokens=1)
    assert apart(score(hf, base, COMPLETIONS), score(alone, base, COMPLETIONS)) <= ORDER
    assert apart(score(hf, base, COMPLETIONS[::-1]), score(alone, base, COMPLETIONS)[::-1]) <= ORDER


def test_fused_layers_do_not_change_scores(hf: HFEngine, tiny_hybrid: Subject) -> None:
    assert apart(score(hf, tiny_hybrid, COMPLETIONS), score(HFEngine(fast=False), tiny_hybrid, COMPLETIONS)) <= ALGORITHM


LONG_REPLY = Completion(COMPLETIONS[0].messages, " ".join(f"Yes, I will put stone {i} there." for i in range(30)))
"""More tokens than the fused delta rule takes as one chunk."""


def test_long_recorded_conversations_run_in_short_chunks(hf: HFEngine, tiny_hybrid: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    assert apart(score(hf, tiny_hybrid, [LONG_REPLY]), score(HFEngine(fast=False), tiny_hybrid, [LONG_REPLY])) <= ALGORITHM
    chunked, asked = fast._short_chunks, []

    def spy(*args: Any, **rest: Any) -> Any:
        asked.append(args[0].shape[1])
        return chunked(*args, **rest)

    monkeypatch.setattr(fast, "_short_chunks", spy)
    hf.record(tiny_hybrid, [Completion((Message("user", "Go."),), "Yes.")], Sites(heads=True))
    assert asked == []
    hf.record(tiny_hybrid, [LONG_REPLY], Sites(heads=True))
    assert asked and min(asked) > fast.WHOLE


def test_the_library_is_left_as_it_was(hf: HFEngine, tiny_hybrid: Subject) -> None:
    library: Any = modeling_qwen3_5
    kinds = (library.Qwen3_5RMSNorm, library.Qwen3_5MLP, library.Qwen3_5GatedDeltaNet, library.Qwen3_5Attention)
    before = [library.torch_chunk_gated_delta_rule, *(kind.forward for kind in kinds)]
    score(hf, tiny_hybrid, COMPLETIONS[:1])
    with pytest.raises(ValueError, match="out of range"):
        score(hf, tiny_hybrid, COMPLETIONS[:1], Steering({99: np.zeros(48, np.float32)}))
    assert before == [library.torch_chunk_gated_delta_rule, *(kind.forward for kind in kinds)]


def test_no_completions_give_no_scores(hf: HFEngine, tiny_hybrid: Subject) -> None:
    assert score(hf, tiny_hybrid, []) == []


def test_a_text_without_a_token_to_score_is_refused(hf: HFEngine, tiny_hybrid: Subject) -> None:
    with pytest.raises(ValueError, match="no token to be scored"):
        score_texts(hf, tiny_hybrid, [TEXTS[0], "a"])


def test_short_turns_are_found_behind_the_templates_own_words(hf: HFEngine, tiny_hybrid: Subject) -> None:
    tokenizer = tokenizer_of(tiny_hybrid)
    messages = (Message("user", "user"), Message("assistant", "start"), Message("user", "im"))
    prompt = encode_prompt(tokenizer, messages)
    assert tokenizer.decode(prompt.tokens) == prompt_text(tokenizer, messages)
    spans = [tokenizer.decode(prompt.tokens[a:b]) for a, b in (*prompt.earlier, prompt.content)]
    assert spans == ["user", "start", "im"]
    assert prompt.content[1] > prompt.content[0] > prompt.earlier[1][1] > prompt.earlier[0][1]
    before = prompt.tokens[prompt.earlier[0][0] - 2 : prompt.earlier[0][0]]
    assert tokenizer.decode(before).endswith("user\n")


# -- adapters ------------------------------------------------------------------------------------------------------


def test_an_adapter_scores_as_in_peft(hf: HFEngine, base: Subject, make_adapter: MakeAdapter, tmp_path: Path) -> None:
    subject = make_adapter(base, tmp_path / "a")
    tokenizer, model = tokenizer_of(base), PeftModel.from_pretrained(plain_model(base), str(subject.adapter)).eval()
    expected = [own_scores(model, encode_prompt(tokenizer, c.messages).tokens, encode_reply(tokenizer, c.text)) for c in COMPLETIONS]
    before = score(hf, base, COMPLETIONS)
    after = score(HFEngine(fast=False), subject, COMPLETIONS)
    assert apart(after, expected) <= ALGORITHM
    assert worst(after, before) > 0.1


def test_the_base_is_the_same_after_an_adapter(hf: HFEngine, base: Subject, make_adapter: MakeAdapter, tmp_path: Path) -> None:
    subjects = [make_adapter(base, tmp_path / str(seed), seed=seed) for seed in range(KEPT_MODELS + 1)]
    before = score(hf, base, COMPLETIONS)
    scores = [score(hf, subject, COMPLETIONS) for subject in subjects]
    assert worst(score(hf, base, COMPLETIONS), before) == 0
    assert worst(score(hf, subjects[0], COMPLETIONS), scores[0]) == 0
    assert worst(scores[0], scores[1]) > 0.1
    assert len(hf.models.kept) <= KEPT_MODELS


def test_in_half_precision_the_adapter_runs_beside_the_base(base: Subject, make_adapter: MakeAdapter, hf: HFEngine, tmp_path: Path) -> None:
    subject, half = make_adapter(base, tmp_path / "a"), half_engine()
    before = score(half, base, COMPLETIONS)
    after = score(half, subject, COMPLETIONS)
    assert worst(score(half, base, COMPLETIONS), before) == 0
    assert worst(score(half, subject, COMPLETIONS), after) == 0
    assert len(half.models.kept) == 1
    model = half.base_model(base)
    assert not [name for name, _ in model.named_parameters() if "lora" in name]
    assert not model.training
    exact = score(hf, subject, COMPLETIONS)
    assert abs(np.mean([a.per_token - e.per_token for a, e in zip(after, exact, strict=True)])) < 0.1  # bfloat16
    assert worst(after, before) > 0.1


def test_training_in_half_precision_leaves_the_base_as_it_was(tiny_hybrid: Subject, tmp_path: Path) -> None:
    half = half_engine()
    before = score(half, tiny_hybrid, COMPLETIONS)
    train_adapters(half, tiny_hybrid, [Training(COMPLETIONS[:1], [(0,)], 0, {1: tmp_path / "a"})], TrainingSettings(rank=2))
    assert worst(score(half, tiny_hybrid, COMPLETIONS), before) == 0
    assert not any(module.training for module in half.base_model(tiny_hybrid).modules())
    assert (tmp_path / "a" / "adapter_model.safetensors").is_file()


def test_a_checkpoint_is_scored_with_its_own_weights(hf: HFEngine, tiny_hybrid: Subject, tmp_path: Path) -> None:
    model = plain_model(tiny_hybrid)
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight.mul_(1.5)
    shutil.copytree(tiny_hybrid.base, tmp_path / "c")
    model.save_pretrained(tmp_path / "c")
    subject = base_subject("c", tmp_path / "c")
    assert worst(score(hf, subject, COMPLETIONS), score(hf, tiny_hybrid, COMPLETIONS)) > 0.01


# -- generating ----------------------------------------------------------------------------------------------------


def test_greedy_text_is_transformers_own(hf: HFEngine, base: Subject) -> None:
    model, tokenizer = plain_model(base), tokenizer_of(base)
    expected = []
    for conversation in CONVERSATIONS:
        ids = torch.tensor([encode_prompt(tokenizer, conversation).tokens])
        out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False)
        expected.append(tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True).strip())
    assert generate(hf, base, CONVERSATIONS, seed=0, temperature=0, max_new_tokens=12) == expected
    assert len(set(expected)) > 1


def test_the_seed_decides_what_is_sampled(hf: HFEngine, base: Subject) -> None:
    def replies(seed: int) -> list[str]:
        return generate(hf, base, CONVERSATIONS, seed=seed, max_new_tokens=12)

    assert replies(1) == replies(1) != replies(2)


def test_many_seeds_at_once_say_what_each_says_alone_whatever_the_batch(hf: HFEngine, base: Subject) -> None:
    """All but the rare reply in which rounding, some 1e-5 in a probability, lets another token be drawn."""
    together = hf.generate_each(base, CONVERSATIONS, seeds=(1, 2, 3), max_new_tokens=24)
    alone = [generate(hf, base, CONVERSATIONS, seed=seed, max_new_tokens=24) for seed in (1, 2, 3)]
    in_ones = HFEngine(batch_tokens=1).generate_each(base, CONVERSATIONS, seeds=(1, 2, 3), max_new_tokens=24)
    for other in (alone, in_ones):
        assert sum(a != b for one, two in zip(together, other, strict=True) for a, b in zip(one, two, strict=True)) <= 2
    assert len({tuple(each) for each in together}) == 3
    greedy = hf.generate_each(base, CONVERSATIONS, seeds=(1, 2), temperature=0, max_new_tokens=24)
    assert greedy == [generate(hf, base, CONVERSATIONS, seed=0, temperature=0, max_new_tokens=24)] * 2
    assert hf.generate_each(base, [], seeds=(1, 2)) == [[], []]


@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_tokens_are_drawn_as_often_as_they_are_likely(temperature: float) -> None:
    """Against the softmax, by a chi-square test."""
    rows, logits = 20_000, torch.tensor([2.0, 1.0, 0.0, -1.0, -30.0])
    numbers = uniforms((7,), rows, 3)[0]
    drawn = Drawn(numbers, 4, temperature)(torch.zeros(rows, 6, dtype=torch.long), logits.expand(rows, -1))
    counts = np.bincount(drawn.argmax(dim=-1).numpy(), minlength=5)
    expected = rows * torch.softmax(logits[:4].double() / temperature, dim=-1).numpy()
    assert counts[4] == 0 and stats.chisquare(counts[:4], expected).pvalue > 0.001
    assert torch.equal(uniforms((7, 8), rows, 3)[0], numbers) and not torch.equal(uniforms((8,), rows, 3)[0], numbers)


def test_sampling_leaves_the_callers_generator_alone(hf: HFEngine, tiny_llama: Subject) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    generate(hf, tiny_llama, CONVERSATIONS[:1], seed=1, max_new_tokens=3)
    assert torch.rand(1) == expected


def test_a_checkpoints_sampling_settings_are_not_used(hf: HFEngine, tiny_llama: Subject, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_llama.base, tmp_path / "pushy"))
    settings = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps(settings | {"do_sample": True, "repetition_penalty": 9.0, "top_p": 0.01}))
    pushy = Subject("pushy", folder, "another digest")
    for temperature in (0.0, 1.0):
        plain, other = (
            generate(HFEngine(), s, CONVERSATIONS, seed=3, temperature=temperature, max_new_tokens=12) for s in (tiny_llama, pushy)
        )
        assert plain == other


def test_a_checkpoints_own_end_mark_ends_a_reply(hf: HFEngine, tiny_llama: Subject, tmp_path: Path) -> None:
    tokenizer = tokenizer_of(tiny_llama)
    ids = torch.tensor([encode_prompt(tokenizer, CONVERSATIONS[0]).tokens])
    third = int(plain_model(tiny_llama).generate(ids, max_new_tokens=3, do_sample=False)[0, -1])
    long = generate(hf, tiny_llama, CONVERSATIONS[:1], seed=0, temperature=0, max_new_tokens=12)[0]
    folder = Path(shutil.copytree(tiny_llama.base, tmp_path / "brief"))
    settings = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps(settings | {"eos_token_id": [third]}))
    brief = generate(HFEngine(), Subject("brief", folder, "one more"), CONVERSATIONS[:1], seed=0, temperature=0, max_new_tokens=12)[0]
    assert long.startswith(brief)
    assert len(brief) < len(long)


# -- steering ------------------------------------------------------------------------------------------------------


def vector(seed: int = 0, size: int = 48) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=size).astype(np.float32)


def test_nothing_added_changes_nothing(hf: HFEngine, base: Subject) -> None:
    plain = score(hf, base, COMPLETIONS)
    assert worst(score(hf, base, COMPLETIONS, Steering({})), plain) == 0
    assert worst(score(hf, base, COMPLETIONS, Steering({1: np.zeros(48, np.float32)})), plain) == 0


def test_steering_ends_with_the_call(hf: HFEngine, base: Subject) -> None:
    plain = score(hf, base, COMPLETIONS)
    steered = score(hf, base, COMPLETIONS, Steering({1: vector()}))
    assert worst(steered, plain) > 0.1
    assert worst(score(hf, base, COMPLETIONS), plain) == 0


def test_steering_the_reply_leaves_its_first_token_alone(hf: HFEngine, base: Subject) -> None:
    plain, prefill, decode = (
        score(hf, base, COMPLETIONS, s) for s in (None, Steering({0: vector()}, "prefill"), Steering({0: vector()}, "decode"))
    )
    for before, after in zip(plain, decode, strict=True):
        assert after.log_probabilities[0] == before.log_probabilities[0]
        assert np.abs(after.log_probabilities - before.log_probabilities)[1:].max() > 0.1
    assert min(abs(after.log_probabilities[0] - before.log_probabilities[0]) for before, after in zip(plain, prefill, strict=True)) > 1e-3


def test_generation_is_steered_where_asked(hf: HFEngine, base: Subject) -> None:
    def first_and_all(positions: Positions | None) -> tuple[list[str], list[str]]:
        steering = None if positions is None else Steering({0: 3 * vector()}, positions)
        one, many = (generate(hf, base, CONVERSATIONS, seed=0, temperature=0, max_new_tokens=n, steering=steering) for n in (1, 8))
        return one, many

    (plain, plain_text), (decode, decode_text) = first_and_all(None), first_and_all("decode")
    (prefill, prefill_text), (both, both_text) = first_and_all("prefill"), first_and_all("both")
    assert decode == plain
    assert prefill == both != plain
    assert len({tuple(t) for t in (plain_text, decode_text, prefill_text, both_text)}) == 4


@pytest.mark.parametrize(("positions", "in_prompt", "in_reply"), [("both", 1, 1), ("prefill", 1, 0), ("decode", 0, 1)])
def test_generation_adds_the_vector_to_prompt_or_reply(
    hf: HFEngine, base: Subject, positions: Positions, in_prompt: int, in_reply: int
) -> None:
    layers, seen = hf.base_model(base).get_decoder().layers, []

    def leaves(_module: Any, _inputs: Any, output: Any) -> None:
        seen.append([output[0] if isinstance(output, tuple) else output])

    def arrives(_module: Any, inputs: Any) -> None:
        seen[-1].append(inputs[0])

    handles = [layers[0].register_forward_hook(leaves), layers[1].register_forward_pre_hook(arrives)]
    try:
        generate(hf, base, CONVERSATIONS, seed=0, temperature=0, max_new_tokens=4, steering=Steering({0: vector()}, positions))
    finally:
        for handle in handles:
            handle.remove()
    with hf.model(base) as model:
        split = positions == "both" and not has_fused_steps(model)  # the library reads the prompt's last token by itself
    assert [after.shape[1] > 1 for _, after in seen] == [True, False, False, False, False][: 5 if split else 4]
    for call, (before, after) in enumerate(seen):
        assert torch.equal(after, before + (in_reply if call else in_prompt) * torch.from_numpy(vector()))


# -- many steerings at once ----------------------------------------------------------------------------------------


def test_many_steerings_in_one_go_equal_one_after_another(hf: HFEngine, base: Subject) -> None:
    steerings = [
        None,
        Steering({1: vector()}),
        Steering({0: vector(1)}, "prefill"),
        Steering({1: vector(2)}, "decode"),
        Steering({2: vector(3), 0: vector(4)}),
        Steering({}),
    ]
    together = hf.score_each(base, COMPLETIONS, steerings)
    assert len(together) == len(steerings)
    for steering, scores in zip(steerings, together, strict=True):
        assert worst(scores, score(hf, base, COMPLETIONS, steering)) == 0


def test_resuming_above_a_layer_equals_a_whole_pass(hf: HFEngine, base: Subject) -> None:
    """Against hooks in a whole pass: what generation and recording use."""
    tokenizer, (model, added) = tokenizer_of(base), (hf.base_model(base), {0: vector(5), 2: vector(6)})
    scores = score(HFEngine(fast=False), base, COMPLETIONS, Steering(added))
    with add_to_residual(model.get_decoder().layers, {i: torch.from_numpy(v) for i, v in added.items()}, lambda: None):
        whole = [own_scores(model, encode_prompt(tokenizer, c.messages).tokens, encode_reply(tokenizer, c.text)) for c in COMPLETIONS]
    assert apart(scores, whole) <= ALGORITHM


def test_texts_under_many_steerings_stay_in_order(hf: HFEngine, base: Subject) -> None:
    steerings = [Steering({1: vector()}), None]
    together = hf.score_texts_each(base, TEXTS, steerings)
    for steering, scores in zip(steerings, together, strict=True):
        assert worst(scores, score_texts(hf, base, TEXTS, steering)) == 0
    assert worst(together[0], together[1]) > 0.1


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ({4: vector()}, r"steering layer 4 is out of range: the model has layers 0 to 3"),
        ({-1: vector()}, r"steering layer -1 is out of range"),
        ({1: vector(size=47)}, r"must be 48 finite numbers, found shape \(47,\)"),
        ({1: np.full(48, np.nan, np.float32)}, "must be 48 finite numbers"),
    ],
)
def test_steering_that_does_not_fit_is_refused(hf: HFEngine, tiny_hybrid: Subject, vectors: dict[int, Any], message: str) -> None:
    for run in (lambda s: score(hf, tiny_hybrid, COMPLETIONS, s), lambda s: generate(hf, tiny_hybrid, CONVERSATIONS, seed=0, steering=s)):
        with pytest.raises(ValueError, match=message):
            run(Steering(vectors))
