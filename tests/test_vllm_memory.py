"""harness/engines/vllm/memory.py: parameters counted as they are, states as they were measured, shared out over devices."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from fixtures.models.figures import TINY_HYBRID
from harness.data.subject import Subject
from harness.engines.vllm.memory import GIB, SLACK, Load, Need, cache_bytes, need, parameters, state_bytes
from harness.subjects.files import tensor_shapes

BIG: dict[str, Any] = {
    "model_type": "qwen3_5",
    "text_config": {
        "model_type": "qwen3_5_text",
        "hidden_size": 5120,
        "intermediate_size": 17408,
        "num_attention_heads": 24,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "linear_num_key_heads": 16,
        "linear_num_value_heads": 48,
        "linear_key_head_dim": 128,
        "linear_value_head_dim": 128,
        "linear_conv_kernel_dim": 4,
        "num_hidden_layers": 64,
        "layer_types": (["linear_attention"] * 3 + ["full_attention"]) * 16,
        "vocab_size": 248320,
        "tie_word_embeddings": False,
    },
}
"""The 27B hybrid that this suite is meant for, as far as memory goes."""


def config_of(subject: Subject) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((subject.base / "config.json").read_text())
    return found


def on_disk(subject: Subject) -> int:
    return sum(math.prod(shape) for shape in tensor_shapes(subject.base / "model.safetensors").values())


def test_parameters_are_those_on_disk(tiny_hybrid: Subject, tiny_llama: Subject) -> None:
    shipped = Subject("tiny-hybrid", TINY_HYBRID, "")
    for subject in (shipped, tiny_hybrid, tiny_llama):
        assert parameters(config_of(subject)) == on_disk(subject), subject.name


def test_the_big_hybrid_is_as_big_as_its_name() -> None:
    assert 26.5e9 < parameters(BIG) < 27.5e9
    assert state_bytes(BIG) == 144 * 2**20
    assert cache_bytes(BIG, "bfloat16") == 16 * 2 * 4 * 256 * 2


def test_devices_share_and_sequences_add_up() -> None:
    alone, shared = need(BIG, Load("bfloat16")), need(BIG, Load("bfloat16", tensor_parallel=2, pipeline_parallel=2))
    assert alone.weights == parameters(BIG) * 2 and shared.weights == alone.weights // 4
    assert shared.states == alone.states // 4
    assert alone.states == 64 * 144 * 2**20
    assert need(BIG, Load("bfloat16", sequences=128)).cache == 2 * alone.cache
    assert need(BIG, Load("bfloat16", adapter_rank=16)).adapters == 2 * alone.adapters
    assert need(BIG, Load("float32")).weights == 2 * alone.weights
    assert alone.total == int((alone.weights + alone.adapters + alone.cache + alone.states) * SLACK)
    assert need(BIG, Load("bfloat16"), on_disk=7).weights == 7


def test_key_and_value_heads_fewer_than_devices_are_copied() -> None:
    four, eight = (need(BIG, Load("bfloat16", tensor_parallel=n)).cache for n in (4, 8))
    assert four == eight


def test_a_model_without_recurrent_states_needs_none(tiny_llama: Subject) -> None:
    assert state_bytes(config_of(tiny_llama)) == 0


def test_one_gpu_of_80_gib_holds_the_big_hybrid_for_few_sequences_two_hold_it_for_many() -> None:
    """What docs/vllm.md says."""
    assert need(BIG, Load("bfloat16", sequences=32)).total < 80 * GIB
    assert need(BIG, Load("bfloat16", sequences=256)).total > 80 * GIB
    assert need(BIG, Load("bfloat16", tensor_parallel=2, sequences=256)).total < 80 * GIB


@pytest.mark.parametrize("field", ["weights", "adapters", "cache", "states"])
def test_nothing_is_left_out_of_the_total(field: str) -> None:
    empty = {"weights": 0, "adapters": 0, "cache": 0, "states": 0}
    assert Need(**empty | {field: 100}).total == int(100 * SLACK)
