"""How much memory vLLM needs for a model, from its configuration alone: an estimate, before a GPU is rented or a model loaded.

Counted: weights, adapter slots, and per sequence the cache of full-attention layers (bytes a token) and the states of Gated
DeltaNet layers (bytes a sequence). Not counted: activations and the runtime itself, for which SLACK is added. Parameters are those of
decoder models of the Llama and Qwen3.5 kind; a vision tower or experts are not in the formula, and where weights lie on disk their
size is taken instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SLACK = 1.15
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
GIB = 2**30


@dataclass(frozen=True)
class Need:
    """Memory needed on one of the devices, in bytes."""

    weights: int
    adapters: int
    cache: int
    """Keys and values of full-attention layers, for all sequences at full length."""
    states: int
    """Recurrent states of Gated DeltaNet layers, for all sequences."""

    @property
    def total(self) -> int:
        """All of it with some slack, in bytes."""
        return int((self.weights + self.adapters + self.cache + self.states) * SLACK)


@dataclass(frozen=True)
class Load:
    """What is to be served, and how it is shared out."""

    dtype: str
    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    sequences: int = 64
    length: int = 2048
    adapter_slots: int = 4
    adapter_rank: int = 8


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The text model's entries, with the defaults that configurations leave out."""
    text = {**config, **config.get("text_config", {})}
    heads = int(text["num_attention_heads"])
    text.setdefault("num_key_value_heads", heads)
    text["head_dim"] = int(text.get("head_dim") or text["hidden_size"] // heads)
    text["layer_types"] = text.get("layer_types") or ["full_attention"] * int(text["num_hidden_layers"])
    return text


def _delta_widths(text: Mapping[str, Any]) -> tuple[int, int]:
    """Numbers in all keys, and in all values, of a Gated DeltaNet layer."""
    return (
        int(text["linear_num_key_heads"]) * int(text["linear_key_head_dim"]),
        int(text["linear_num_value_heads"]) * int(text["linear_value_head_dim"]),
    )


def _matrices(text: Mapping[str, Any], kind: str) -> list[tuple[int, int]]:
    """Inputs and outputs of every matrix of one layer."""
    width, inner = int(text["hidden_size"]), int(text["intermediate_size"])
    mlp = [(width, inner), (width, inner), (inner, width)]
    if kind == "linear_attention":
        keys, values = _delta_widths(text)
        heads = int(text["linear_num_value_heads"])
        return [(width, 2 * keys + values), (width, values), (width, heads), (width, heads), (values, width), *mlp]
    queries, shared = int(text["num_attention_heads"]) * text["head_dim"], int(text["num_key_value_heads"]) * text["head_dim"]
    gated = 2 if str(text.get("model_type", "")).startswith(("qwen3_5", "qwen3_next")) else 1
    return [(width, gated * queries), (width, shared), (width, shared), (queries, width), *mlp]


def parameters(config: Mapping[str, Any]) -> int:
    """Number of parameters of the text model, embeddings included."""
    text = _settings(config)
    width = int(text["hidden_size"])
    count = int(text["vocab_size"]) * width * (1 if text.get("tie_word_embeddings") else 2) + width
    for kind in text["layer_types"]:
        count += sum(a * b for a, b in _matrices(text, kind)) + 2 * width
        if kind == "linear_attention":
            keys, values = _delta_widths(text)
            heads = int(text["linear_num_value_heads"])
            count += (2 * keys + values) * int(text["linear_conv_kernel_dim"]) + 2 * heads + int(text["linear_value_head_dim"])
        elif "qwen3" in str(text.get("model_type", "")):
            count += 2 * text["head_dim"]
    return count


def state_bytes(config: Mapping[str, Any]) -> int:
    """Recurrent states of one sequence, float32, over all layers."""
    text = _settings(config)
    layers = int(text["layer_types"].count("linear_attention"))
    if not layers:
        return 0
    return layers * _delta_widths(text)[1] * int(text["linear_key_head_dim"]) * 4


def cache_bytes(config: Mapping[str, Any], dtype: str) -> int:
    """Keys and values of one token over all full-attention layers."""
    text = _settings(config)
    full = int(len(text["layer_types"]) - text["layer_types"].count("linear_attention"))
    return full * 2 * int(text["num_key_value_heads"]) * int(text["head_dim"]) * BYTES[dtype]


def need(config: Mapping[str, Any], load: Load, on_disk: int | None = None) -> Need:
    """What each device needs. `on_disk`: bytes of the weights in the number type they are served in, where known."""
    text = _settings(config)
    size = BYTES[load.dtype]
    devices = load.tensor_parallel * load.pipeline_parallel
    ranks = sum((a + b) * load.adapter_rank for kind in text["layer_types"] for a, b in _matrices(text, kind))
    copies = max(1, load.tensor_parallel // int(text["num_key_value_heads"]))  # heads that more devices share are copied
    return Need(
        weights=(on_disk if on_disk is not None else parameters(config) * size) // devices,
        adapters=ranks * load.adapter_slots * size // devices,
        cache=cache_bytes(config, load.dtype) * load.length * load.sequences * copies // devices,
        states=state_bytes(config) * load.sequences // devices,
    )
