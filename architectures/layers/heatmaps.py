"""Shared parts of families with a map for every joint: maps as targets, their squared error, outputs of several stages.

Cell i of a map of stride s stands for pixels s*i to s*i + s - 1, so its centre is at s*i + (s - 1) / 2. The
cross-entropy over cells is the task's own loss: a network without `loss` is trained by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

HeatmapLoss = Literal["cross_entropy", "mse"]
Outputs = Tensor | Mapping[str, Tensor]


def gaussians(joints: Tensor, cells: tuple[int, int], stride: int, sigma: Tensor | float) -> Tensor:
    """Maps (N, K, h, w), 1 at the place of each joint, falling off as a Gaussian of `sigma` cells.

    `joints` (N, K, 2) are x, y in px; places between cells count as they are.
    """
    height, width = cells
    centre = (joints - (stride - 1) / 2) / stride
    x = torch.arange(width, device=joints.device) - centre[..., :1]
    y = torch.arange(height, device=joints.device) - centre[..., 1:]
    return (-(y[..., :, None] ** 2 + x[..., None, :] ** 2) / (2 * sigma**2)).exp()


class SquaredError(nn.Module):
    """Squared error of maps (N, K, h, w) against Gaussians of `sigma` cells, over cells and annotated joints.

    Outputs of several stages, of the same stride, add up. It is summed over the cells of a map, since nearly all
    of them are 0 in the target, and divided by the target's own sum of squares, pi * sigma^2: 1 for an empty map.
    Joints outside the image don't count.
    """

    sigma: Tensor

    def __init__(self, stride: int, sigma: float = 1.0) -> None:
        super().__init__()
        self.stride = stride
        # A buffer, so that the no-op check distinguishes networks that differ in their loss alone.
        self.register_buffer("sigma", torch.tensor(float(sigma)))

    def forward(self, outputs: Outputs, targets: Mapping[str, Tensor]) -> Tensor:
        entries = [outputs] if isinstance(outputs, Tensor) else list(outputs.values())
        joints, size = targets["joints"], targets["size"][:, None]
        annotated = (targets["visible"] > 0) & ((joints >= -0.5) & (joints <= size - 0.5)).all(-1)
        ideal = gaussians(joints, (entries[0].shape[-2], entries[0].shape[-1]), self.stride, self.sigma)
        errors = torch.stack([(entry.float() - ideal).square().sum((-2, -1)) for entry in entries]).sum(0)
        return (errors * annotated).sum() / (annotated.sum().clamp(min=1) * torch.pi * self.sigma**2)

    def probabilities(self, maps: Tensor) -> Tensor:
        """Maps as probabilities of the cells (N, K, h, w), which sum to 1; negative heights count as 0."""
        heights = maps.clamp(min=1e-6)
        return heights / heights.sum((-2, -1), keepdim=True)


def loss_of(name: HeatmapLoss, stride: int, sigma: float = 1.0) -> SquaredError | None:
    """The `loss` that a network of this name's loss has: None for cross-entropy, which is the task's own."""
    return SquaredError(stride, sigma) if name == "mse" else None


def staged(maps: Sequence[Tensor], *, every: bool = True) -> dict[str, Tensor]:
    """The outputs of a network of stages: `out` is the last and stands first, `stage1`, .. those before it.

    Not `every`: `out` only, for training without supervision in between.
    """
    earlier = {f"stage{number}": entry for number, entry in enumerate(maps[:-1], start=1)} if every else {}
    return {"out": maps[-1], **earlier}
