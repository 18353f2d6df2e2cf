"""A steering's vectors as tensors beside the model's weights, once it is certain that they fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.engines.protocol import Steering


def vectors_of(model: Any, steering: Steering) -> dict[int, Tensor]:
    """The vectors [d_model] in float32 by layer, on the model's device; ValueError names what does not fit the model."""
    count, width = len(model.get_decoder().layers), model.config.hidden_size
    for layer, vector in steering.vectors.items():
        if not 0 <= layer < count:
            raise ValueError(f"steering layer {layer} is out of range: the model has layers 0 to {count - 1}")
        if vector.shape != (width,) or not np.isfinite(vector).all():
            raise ValueError(f"a steering vector must be {width} finite numbers, found shape {vector.shape}")
    return {layer: torch.from_numpy(np.asarray(v, dtype=np.float32)).to(model.device) for layer, v in steering.vectors.items()}
