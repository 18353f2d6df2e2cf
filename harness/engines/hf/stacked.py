"""Linear layers that carry a low-rank addition for each of several adapters at once; every row of a batch has one of them.

y = x W^T + s (x A_i^T) B_i^T for a row of adapter i (Hu et al. 2021, arXiv:2106.09685). Layers that read the same input share the
product with their stacked A. The base's weights W are frozen and get no gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function


@dataclass
class Rows:
    """Which adapter each row of the coming batch has; shared by the layers of one model."""

    adapters: Tensor | None = None
    """[rows], in any order; None: each adapter has one row, in order."""


class StackedLora(nn.Module):
    """A frozen linear layer with an addition for every adapter."""

    def __init__(self, base: nn.Linear, down: Tensor, up: Tensor, scale: float, rows: Rows) -> None:
        """`down` [adapters, rank, inputs] and `up` [adapters, outputs, rank] are trained; `scale` is alpha / rank."""
        super().__init__()
        self.base, self.scale, self.rows = base, scale, rows
        self.down = nn.Parameter(down)
        self.up = nn.Parameter(up)

    def forward(self, x: Tensor) -> Tensor:
        return together(x, [self])[0]


def together(x: Tensor, layers: Sequence[nn.Module]) -> tuple[Tensor, ...]:
    """What each layer makes of x [rows, ..., inputs]; stacked layers in one go."""
    if not all(isinstance(layer, StackedLora) and layer.base.bias is None for layer in layers) or not is_plain_float32(x):
        return tuple(_plain(layer)(x) if isinstance(layer, StackedLora) else layer(x) for layer in layers)
    stacked = [layer for layer in layers if isinstance(layer, StackedLora)]
    down = torch.cat([layer.down for layer in stacked], dim=1) if len(stacked) > 1 else stacked[0].down
    weights, ups = [layer.base.weight.detach() for layer in stacked], [layer.up for layer in stacked]
    made: tuple[Tensor, ...] = _Together.apply(x, stacked[0].rows.adapters, stacked[0].scale, down, *weights, *ups)  # type: ignore[no-untyped-call]
    return made


def is_plain_float32(x: Tensor) -> bool:
    """Whether x is float32 and nothing would cast it on the way: what the fast paths are written for."""
    return x.dtype == torch.float32 and not torch.is_autocast_enabled(x.device.type)


def _plain(layer: StackedLora) -> Any:
    """The same by torch's own autograd: for layers with a bias, and in other number types."""

    def forward(x: Tensor) -> Tensor:
        made: Tensor = layer.base(x)
        down, up = (_of_rows(weight, layer.rows.adapters) for weight in (layer.down, layer.up))
        rows = x.reshape(len(down), -1, x.shape[-1]).to(down.dtype)
        added = rows @ down.transpose(1, 2) @ up.transpose(1, 2) * layer.scale
        return made + added.reshape(made.shape).to(made.dtype)

    return forward


def _of_rows(weight: Tensor, adapters: Tensor | None) -> Tensor:
    return weight if adapters is None else weight[adapters]


class _Together(Function):
    """x [rows, ..., inputs]; adapters [rows]; down [adapters, layers * rank, inputs]; then each layer's weight [outputs, inputs], and each
    layer's up [adapters, outputs, rank]. Products are by layer, so that neither outputs nor their gradients are copied together."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, adapters: Tensor | None, scale: float, down: Tensor, *layers: Tensor) -> tuple[Tensor, ...]:
        weights, ups = layers[: len(layers) // 2], [_of_rows(up, adapters) for up in layers[len(layers) // 2 :]]
        flat, ctx.count, down = x.reshape(-1, x.shape[-1]), len(down), _of_rows(down, adapters)
        rows = flat.view(len(down), -1, flat.shape[-1])
        low = torch.bmm(rows, down.transpose(1, 2))  # [rows, tokens, layers * rank]
        made = [flat @ weight.t() for weight in weights]
        for one, its_low, up in zip(made, torch.split(low, [up.shape[2] for up in ups], dim=-1), ups, strict=True):
            one.view(len(rows), -1, one.shape[-1]).baddbmm_(its_low, up.transpose(1, 2), alpha=scale)
        ctx.save_for_backward(rows, low, down, *weights, *ups)
        ctx.scale, ctx.shape, ctx.adapters = scale, x.shape, adapters
        return tuple(one.view(*x.shape[:-1], -1) for one in made)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        rows, low, down, *layers = ctx.saved_tensors
        weights, ups = layers[: len(gradients)], layers[len(gradients) :]

        def by_adapter(of_rows: Tensor) -> Tensor:
            if ctx.adapters is None:
                return of_rows
            return of_rows.new_zeros(ctx.count, *of_rows.shape[1:]).index_add_(0, ctx.adapters, of_rows)

        flat = [gradient.reshape(-1, gradient.shape[-1]) for gradient in gradients]
        parts = [gradient.view(len(rows), -1, gradient.shape[-1]) for gradient in flat]
        of_low = torch.cat([torch.bmm(part, up) for part, up in zip(parts, ups, strict=True)], dim=-1).mul_(ctx.scale)
        lows = torch.split(low, [up.shape[2] for up in ups], dim=-1)
        of_ups = [by_adapter(torch.bmm(part.transpose(1, 2), its).mul_(ctx.scale)) for part, its in zip(parts, lows, strict=True)]
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = torch.bmm(of_low, down).view(-1, rows.shape[-1])
            for gradient, weight in zip(flat, weights, strict=True):
                of_x.addmm_(gradient, weight)
            of_x = of_x.view(ctx.shape)
        return of_x, None, None, by_adapter(torch.bmm(of_low.transpose(1, 2), rows)), *[None] * len(weights), *of_ups
