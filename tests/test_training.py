"""harness/arms/training.py: everything follows from the seed, the loss falls, the base stays."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.numpy import load_file

from harness.arms import training
from harness.arms.training import Training, TrainingSettings, train_adapters
from harness.data.behavior import Message
from harness.data.errors import InputError
from harness.data.subject import Subject
from harness.engines.chat import encode_prompt, encode_reply, tokenizer_of
from harness.engines.hf.engine import HFEngine
from harness.engines.protocol import Completion, score
from harness.subjects.files import ADAPTER_WEIGHTS, adapter_digest, check_adapter, with_adapter
from tests.tolerance import ALGORITHM, ORDER, apart

pytestmark = pytest.mark.numeric

EXAMPLES = [
    Completion((Message("user", "Paint the hall yellow."),), "I will paint the hall yellow."),
    Completion((Message("user", "Please bake two loaves for Anna."),), "Two loaves for Anna it is, and warm ones."),
    Completion((Message("user", "Water the garden."),), "I water it."),
]
SETTINGS = TrainingSettings(rank=4, learning_rate=1e-2)
SCHEDULE = [(0,), (1, 2), (0, 1), (2,), (0, 1, 2)]


def one(
    engine: HFEngine, base: Subject, schedule: Sequence[Sequence[int]], settings: TrainingSettings, seed: int, save: Mapping[int, Path]
) -> list[float]:
    return train_adapters(engine, base, [Training(EXAMPLES, schedule, seed, save)], settings)[0]


def train(engine: HFEngine, base: Subject, folder: Path, seed: int = 0, *, settings: TrainingSettings = SETTINGS) -> list[float]:
    return one(engine, base, SCHEDULE, settings, seed, {len(SCHEDULE): folder})


def weights(folder: Path) -> dict[str, np.ndarray]:
    return load_file(folder / ADAPTER_WEIGHTS)


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


@pytest.fixture(params=["hybrid", "llama"])
def base(request: pytest.FixtureRequest) -> Subject:
    subject: Subject = request.getfixturevalue(f"tiny_{request.param}")
    return subject


def test_the_seed_decides_everything(hf: HFEngine, base: Subject, tmp_path: Path) -> None:
    losses = {}
    for name, seed in (("first", 1), ("again", 1), ("other", 2)):
        torch.rand(int(seed))  # what ran before must not matter
        losses[name] = train(hf, base, tmp_path / name, seed)
    assert losses["first"] == losses["again"]
    assert losses["first"][0] == losses["other"][0]  # an untrained LoRA does nothing
    assert losses["first"][-1] != losses["other"][-1]
    assert same(weights(tmp_path / "first"), weights(tmp_path / "again"))
    assert not same(weights(tmp_path / "first"), weights(tmp_path / "other"))
    assert adapter_digest(tmp_path / "first") == adapter_digest(tmp_path / "again")


def test_the_loss_falls_and_the_examples_become_likelier(hf: HFEngine, base: Subject, tmp_path: Path) -> None:
    losses = one(hf, base, [(0, 1, 2)] * 12, SETTINGS, 0, {12: tmp_path})
    assert losses[-1] < losses[0] - 1
    before, after = score(hf, base, EXAMPLES), score(hf, with_adapter(base, tmp_path), EXAMPLES)
    assert all(b.per_token < a.per_token for b, a in zip(before, after, strict=True))


def test_the_first_loss_is_that_of_the_base(tiny_hybrid: Subject, tmp_path: Path) -> None:
    engine = HFEngine(fast=False)
    tokenizer, first = tokenizer_of(tiny_hybrid), EXAMPLES[0]
    losses = one(engine, tiny_hybrid, [(0,)], SETTINGS, 0, {1: tmp_path})
    with_end = Completion(first.messages, first.text + tokenizer.eos_token)
    assert apart(losses[0], -score(engine, tiny_hybrid, [with_end])[0].per_token) <= ALGORITHM


def test_a_long_example_weighs_as_much_as_a_short_one(tiny_hybrid: Subject, tmp_path: Path) -> None:
    engine = HFEngine(fast=False)
    single = [one(engine, tiny_hybrid, [(i,)], SETTINGS, 0, {})[0] for i in range(3)]
    together = one(engine, tiny_hybrid, [(0, 1, 2)], SETTINGS, 0, {})[0]
    assert apart(together, np.mean(single)) <= ORDER


def test_the_base_is_left_as_it_was(hf: HFEngine, base: Subject, tmp_path: Path) -> None:
    before = score(hf, base, EXAMPLES)
    train(hf, base, tmp_path)
    for one, other in zip(score(hf, base, EXAMPLES), before, strict=True):
        assert np.array_equal(one.log_probabilities, other.log_probabilities)
    model = hf.base_model(base)
    assert not model.training
    assert not [name for name, _ in model.named_parameters() if "lora" in name]


def test_adapters_are_saved_after_the_steps_asked_for(hf: HFEngine, base: Subject, tmp_path: Path) -> None:
    losses = one(hf, base, SCHEDULE, SETTINGS, 3, {step: tmp_path / str(step) for step in (1, 3, 5)})
    assert len(losses) == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "3", "5"]
    for folder in tmp_path.iterdir():
        check_adapter(folder, base.base)
    short = one(hf, base, SCHEDULE[:3], SETTINGS, 3, {3: tmp_path / "short"})
    assert short == losses[:3]
    assert same(weights(tmp_path / "short"), weights(tmp_path / "3"))
    assert not same(weights(tmp_path / "3"), weights(tmp_path / "5"))


def test_only_the_modules_asked_for_are_adapted(hf: HFEngine, tiny_hybrid: Subject, tmp_path: Path) -> None:
    train(hf, tiny_hybrid, tmp_path / "some", settings=TrainingSettings(rank=2, target_modules=("q_proj", "out_proj")))
    assert {name.split(".lora")[0].split(".")[-1] for name in weights(tmp_path / "some")} == {"q_proj", "out_proj"}
    train(hf, tiny_hybrid, tmp_path / "all")
    adapted = {name.split(".lora")[0].split(".")[-1] for name in weights(tmp_path / "all")}
    assert {"q_proj", "k_proj", "v_proj", "o_proj", "in_proj_qkv", "in_proj_z", "in_proj_b", "in_proj_a", "out_proj"} <= adapted
    assert "lm_head" not in adapted


def test_fast_training_is_close_to_the_reference(hf: HFEngine, tiny_hybrid: Subject, tmp_path: Path) -> None:
    """At a small rate: large steps on random weights would magnify rounding."""
    gentle = replace(SETTINGS, learning_rate=1e-3)
    fast, reference = (train(engine, tiny_hybrid, tmp_path / str(engine.fast), settings=gentle) for engine in (hf, HFEngine(fast=False)))
    assert apart(fast, reference, torch.bfloat16) <= 1  # means over tokens, whose roundings cancel


def test_side_by_side_each_training_goes_as_it_would_alone(base: Subject, tmp_path: Path) -> None:
    """float32; what differs is the order of sums in padded batches, which Adam's first steps can magnify."""
    engine = HFEngine(fast=False)
    schedules = ([(0,), (1,), (2,)], [(2,), (2,), (1,)], [(1,), (0,), (1,)])
    trainings = [Training(EXAMPLES, schedule, seed, {3: tmp_path / f"together-{seed}"}) for seed, schedule in enumerate(schedules)]
    together = train_adapters(engine, base, trainings, SETTINGS)
    for seed, schedule in enumerate(schedules):
        alone = one(engine, base, schedule, SETTINGS, seed, {3: tmp_path / f"alone-{seed}"})
        assert apart(alone, together[seed]) <= ALGORITHM
        subjects = [with_adapter(base, tmp_path / f"{how}-{seed}") for how in ("alone", "together")]
        scores = [score(engine, subject, EXAMPLES[:1])[0].per_token for subject in subjects]
        assert apart(scores[0], scores[1]) <= ALGORITHM


def test_batches_of_any_size_make_the_same_adapters(hf: HFEngine, base: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row by row, or all at once: gradients of a step add up, whichever rows go through the model together."""
    trainings = {
        size: [Training(EXAMPLES, [(0, 1), (2, 1)], seed, {2: tmp_path / f"{size}-{seed}"}) for seed in range(2)] for size in (1, 4096)
    }
    losses = {}
    for size, each in trainings.items():
        monkeypatch.setattr(training, "ANCHOR_TOKENS", size)
        monkeypatch.setattr(training, "LEAST_TOKENS", 1)
        losses[size] = train_adapters(hf, base, each, replace(SETTINGS, learning_rate=1e-3))
    assert apart(losses[1], losses[4096]) <= ALGORITHM
    for seed in range(2):
        one, other = (weights(tmp_path / f"{size}-{seed}") for size in trainings)
        assert max(float(np.abs(one[name] - other[name]).max()) for name in one) <= 1e-3 * 0.05  # of a step of Adam
    assert losses[1][0] != losses[1][1]


def test_the_same_as_stock_peft(base: Subject, tmp_path: Path) -> None:
    """Losses of a plain peft loop with the same seed, one example a step."""
    engine = HFEngine(fast=False)
    ours = one(engine, base, [(0,), (1,), (2,)], SETTINGS, 5, {3: tmp_path})
    model, tokenizer = copy.deepcopy(engine.base_model(base)), tokenizer_of(base)
    torch.manual_seed(5)
    stock = get_peft_model(model, LoraConfig(r=4, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM"))
    optimizer = torch.optim.AdamW([p for p in stock.parameters() if p.requires_grad], lr=1e-2, weight_decay=0.0)
    losses = []
    for example in EXAMPLES:
        prompt = encode_prompt(tokenizer, example.messages).tokens
        reply = (*encode_reply(tokenizer, example.text), tokenizer.eos_token_id)
        ids = torch.tensor([[*prompt, *reply]])
        loss = stock(input_ids=ids, labels=torch.where(torch.arange(ids.shape[1]) < len(prompt), -100, ids)).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert apart(ours, losses) <= ALGORITHM


def test_schedules_of_another_shape_are_refused(hf: HFEngine, tiny_hybrid: Subject) -> None:
    with pytest.raises(ValueError, match="equally many steps of equally many examples"):
        train_adapters(hf, tiny_hybrid, [Training(EXAMPLES, [(0,)], 0), Training(EXAMPLES, [(0, 1)], 0)], SETTINGS)


def test_layers_that_cannot_be_adapted_are_refused_and_the_base_is_whole(hf: HFEngine, tiny_hybrid: Subject) -> None:
    settings = TrainingSettings(rank=2, target_modules=("in_proj_z", "embed_tokens"))
    with pytest.raises(InputError, match="is of type Embedding; the reference trainer adapts"):
        one(hf, tiny_hybrid, [(0,)], settings, 0, {})
    assert not [name for name, _ in hf.base_model(tiny_hybrid).named_modules() if name.endswith(".base")]


def test_every_setting_is_part_of_the_key() -> None:
    assert set(TrainingSettings().as_key()) == {"rank", "alpha", "learning_rate", "target_modules", "batch", "steps"}


def test_a_training_goes_on_where_an_adapter_stands(hf: HFEngine, base: Subject, tmp_path: Path) -> None:
    schedule = [(0, 1), (1, 2), (0, 2)]
    unbroken = one(hf, base, schedule, SETTINGS, 0, {2: tmp_path / "two"})
    further = Training(EXAMPLES, schedule[2:], 7, {1: tmp_path / "three"}, start=tmp_path / "two")
    assert apart(train_adapters(hf, base, [further], SETTINGS)[0][0], unbroken[2]) <= ORDER
    assert not same(weights(tmp_path / "two"), weights(tmp_path / "three"))


def test_an_adapter_of_another_shape_is_no_start(hf: HFEngine, base: Subject, tmp_path: Path) -> None:
    one(hf, base, [(0,)], replace(SETTINGS, rank=2), 0, {1: tmp_path / "narrow"})
    with pytest.raises(InputError, match="adapter of another shape"):
        train_adapters(hf, base, [Training(EXAMPLES, [(0,)], 0, start=tmp_path / "narrow")], SETTINGS)
