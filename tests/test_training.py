"""harness/training.py: everything follows from the seed, the loss falls, the base stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from harness.data.behavior import Message
from harness.data.subject import Subject
from harness.engines.hf import HFEngine
from harness.engines.protocol import Completion
from harness.subject_files import ADAPTER_WEIGHTS, adapter_digest, check_adapter, with_adapter
from harness.training import TrainingSettings, train_adapters

EXAMPLES = [
    Completion((Message("user", "Paint the hall yellow."),), "I will paint the hall yellow."),
    Completion((Message("user", "Please bake two loaves for Anna."),), "Two loaves for Anna it is, and warm ones."),
    Completion((Message("user", "Water the garden."),), "I water it."),
]
SETTINGS = TrainingSettings(rank=4, learning_rate=1e-2)
SCHEDULE = [(0,), (1, 2), (0, 1), (2,), (0, 1, 2)]


def train(engine: HFEngine, base: Subject, folder: Path, seed: int = 0, *, settings: TrainingSettings = SETTINGS) -> list[float]:
    return train_adapters(engine, base, EXAMPLES, SCHEDULE, settings, seed, {len(SCHEDULE): folder})


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
    losses = train_adapters(hf, base, EXAMPLES, [(0, 1, 2)] * 12, SETTINGS, 0, {12: tmp_path})
    assert losses[-1] < losses[0] - 1
    before, after = hf.score(base, EXAMPLES), hf.score(with_adapter(base, tmp_path), EXAMPLES)
    assert all(b.per_token < a.per_token for b, a in zip(before, after, strict=True))


def test_the_first_loss_is_that_of_the_base(tiny_hybrid: Subject, tmp_path: Path) -> None:
    engine = HFEngine(fast=False)
    tokenizer, first = engine.tokenizer(tiny_hybrid), EXAMPLES[0]
    losses = train_adapters(engine, tiny_hybrid, EXAMPLES, [(0,)], SETTINGS, 0, {1: tmp_path})
    with_end = Completion(first.messages, first.text + tokenizer.eos_token)
    assert losses[0] == pytest.approx(-engine.score(tiny_hybrid, [with_end])[0].per_token, abs=1e-4)


def test_a_long_example_weighs_as_much_as_a_short_one(tiny_hybrid: Subject, tmp_path: Path) -> None:
    engine = HFEngine(fast=False)
    single = [train_adapters(engine, tiny_hybrid, EXAMPLES, [(i,)], SETTINGS, 0, {})[0] for i in range(3)]
    together = train_adapters(engine, tiny_hybrid, EXAMPLES, [(0, 1, 2)], SETTINGS, 0, {})[0]
    assert together == pytest.approx(np.mean(single), abs=1e-4)


def test_the_base_is_left_as_it_was(hf: HFEngine, base: Subject, tmp_path: Path) -> None:
    before = hf.score(base, EXAMPLES)
    train(hf, base, tmp_path)
    for one, other in zip(hf.score(base, EXAMPLES), before, strict=True):
        assert np.array_equal(one.log_probabilities, other.log_probabilities)
    model = hf.base_model(base)
    assert not model.training
    assert not [name for name, _ in model.named_parameters() if "lora" in name]


def test_adapters_are_saved_after_the_steps_asked_for(hf: HFEngine, base: Subject, tmp_path: Path) -> None:
    losses = train_adapters(hf, base, EXAMPLES, SCHEDULE, SETTINGS, 3, {step: tmp_path / str(step) for step in (1, 3, 5)})
    assert len(losses) == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "3", "5"]
    for folder in tmp_path.iterdir():
        check_adapter(folder, base.base)
    short = train_adapters(hf, base, EXAMPLES, SCHEDULE[:3], SETTINGS, 3, {3: tmp_path / "short"})
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
    fast, reference = (train(engine, tiny_hybrid, tmp_path / str(engine.fast)) for engine in (hf, HFEngine(fast=False)))
    np.testing.assert_allclose(fast, reference, atol=0.1)  # bfloat16


def test_every_setting_is_part_of_the_key() -> None:
    assert set(TrainingSettings().as_key()) == {"rank", "alpha", "learning_rate", "target_modules", "batch", "steps"}
