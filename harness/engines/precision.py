"""The number types behind an engine's numbers: what of its numerics moves them by more than rounding in float32.

Fused layers, versions, and over how many devices a model is spread move log-probabilities by some 1e-5; numbers of such engines are
compared. bfloat16 or quantized weights move them by hundredths of a nat: an earlier cycle's numbers are then not those of today.
"""

from __future__ import annotations

import re

from harness.data.subject import Subject
from harness.engines.protocol import Engine
from harness.subjects.files import read_json
from harness.subjects.named import model_width

OF_THE_CHECKPOINT = "type of the checkpoint"
"""In an engine's numerics: weights are computed with in the type that they are saved in."""
_PRODUCTS = re.compile(r"bfloat16 products above width (\d+)")
_TYPE = re.compile(r"float|int8|int4|fp8|quantization=|kv_cache_dtype=")


def precision_of(engine: Engine, subject: Subject) -> str:
    """The parts of `engine.numerics` that name a number type, as far as they hold for this subject; all of it where no part does."""
    found = []
    for part in engine.numerics.split(", "):
        products = _PRODUCTS.fullmatch(part)
        if part == OF_THE_CHECKPOINT:
            found.append(_saved_type(subject))
        elif products is None and _TYPE.search(part):
            found.append(part)
        elif products is not None and model_width(subject.base) > int(products[1]):
            found.append("bfloat16 products")
    return ", ".join(found) or engine.numerics


def _saved_type(subject: Subject) -> str:
    """The type that a model's configuration names."""
    config = read_json(subject.base / "config.json")
    config = {**config, **config.get("text_config", {})}
    return str(config.get("dtype") or config.get("torch_dtype") or OF_THE_CHECKPOINT)
