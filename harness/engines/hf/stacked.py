"""Linear layers that carry a low-rank addition for each of several adapters at once: rows of a batch come in equal shares, in order.

y = x W^T + s (x A_i^T) B_i^T for the rows of adapter i (Hu et al. 2021, arXiv:2106.09685). Layers that read the same input share the
product with their stacked W and the one with their stacked A. The base's weights W are frozen and get no gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function


class StackedLora(nn.Module):
    """A frozen linear layer with an addition for every adapter."""

    def __init__(self, base: nn.Linear, down: Tensor, up: Tensor, scale: float) -> None:
        """`down` [adapters, rank, inputs] and `up` [adapters, outputs, rank] are trained; `scale` is alpha / rank."""
        super().__init__()
        self.base, self.scale = base, scale
        self.down = nn.Parameter(down)
        self.up = nn.Parameter(up)
        self.stacked: dict[tuple[int, ...], Tensor] = {}
        """Weights of the layers that are read together with this one, by their ids; see `together`."""

    def forward(self, x: Tensor) -> Tensor:
        return together(x, [self])[0]


def together(x: Tensor, layers: Sequence[nn.Module]) -> tuple[Tensor, ...]:
    """What each layer makes of x [..., inputs]; stacked layers in one product."""
    if not all(isinstance(layer, StackedLora) and layer.base.bias is None for layer in layers) or not is_plain_float32(x):
        return tuple(_plain(layer)(x) if isinstance(layer, StackedLora) else layer(x) for layer in layers)
    stacked = [layer for layer in layers if isinstance(layer, StackedLora)]
    first, key = stacked[0], tuple(id(layer) for layer in stacked)
    if key not in first.stacked:
        weights = [layer.base.weight.detach() for layer in stacked]
        first.stacked[key] = torch.cat(weights) if len(weights) > 1 else weights[0]
    down = torch.cat([layer.down for layer in stacked], dim=1) if len(stacked) > 1 else first.down
    made: Tensor = _Together.apply(x, first.stacked[key], first.scale, down, *(layer.up for layer in stacked))  # type: ignore[no-untyped-call]
    return torch.split(made, [layer.up.shape[1] for layer in stacked], dim=-1)


def is_plain_float32(x: Tensor) -> bool:
    """Whether x is float32 and nothing would cast it on the way: what the fast paths are written for."""
    return x.dtype == torch.float32 and not torch.is_autocast_enabled(x.device.type)


def _plain(layer: StackedLora) -> Any:
    """The same by torch's own autograd: for layers with a bias, and in other number types."""

    def forward(x: Tensor) -> Tensor:
        made: Tensor = layer.base(x)
        rows = x.reshape(len(layer.down), -1, x.shape[-1]).to(layer.down.dtype)
        added = rows @ layer.down.transpose(1, 2) @ layer.up.transpose(1, 2) * layer.scale
        return made + added.reshape(made.shape).to(made.dtype)

    return forward


class _Together(Function):
    """x [..., inputs]; weights [outputs of all, inputs]; down [adapters, layers * rank, inputs]; each up [adapters, outputs, rank]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weights: Tensor, scale: float, down: Tensor, *ups: Tensor) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        made = flat @ weights.t()
        rows, out = flat.view(len(down), -1, flat.shape[-1]), made.view(len(down), -1, len(weights))
        low = torch.bmm(rows, down.transpose(1, 2))  # [adapters, rows, layers * rank]
        for part, its_low, up in _parts(out, low, ups):
            part.baddbmm_(its_low, up.transpose(1, 2), alpha=scale)
        ctx.save_for_backward(rows, weights, low, down, *ups)
        ctx.scale, ctx.shape = scale, x.shape
        return made.view(*x.shape[:-1], len(weights))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        rows, weights, low, down, *ups = ctx.saved_tensors
        of_made = gradients[0].reshape(-1, len(weights))
        parts = _parts(of_made.view(len(down), -1, len(weights)), low, ups)
        of_low = torch.cat([torch.bmm(part, up) for part, _, up in parts], dim=-1).mul_(ctx.scale)
        of_ups = [torch.bmm(part.transpose(1, 2), its_low).mul_(ctx.scale) for part, its_low, _ in parts]
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = of_made @ weights
            of_x.view(rows.shape).baddbmm_(of_low, down)
            of_x = of_x.view(ctx.shape)
        return of_x, None, None, torch.bmm(of_low.transpose(1, 2), rows), *of_ups


def _parts(made: Tensor, low: Tensor, ups: Sequence[Tensor]) -> list[tuple[Tensor, Tensor, Tensor]]:
    """The outputs, the low-rank part and `up` of each layer."""
    outputs, ranks = [up.shape[1] for up in ups], [up.shape[2] for up in ups]
    return list(zip(torch.split(made, outputs, dim=-1), torch.split(low, ranks, dim=-1), ups, strict=True))
