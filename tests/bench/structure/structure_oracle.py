"""The slow truth: perturb every input pixel of a real network in float64 and see which outputs move.

It shares nothing with the code under test and uses no gradients. A network is run on a batch in which
each copy has one pixel changed; several draws of weights, inputs and perturbations (large and small,
up and down) let every position of a max-pool window win and keep coincidences from hiding a tap.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

DRAWS = 6
TOLERANCE = 1e-9


def dependence(model: nn.Module, shape: Sequence[int], *, draws: int = DRAWS, batch: int = 1) -> np.ndarray:
    """Boolean (input pixels..., output shape without batch...): which pixel moves which output element.

    `batch` copies are run at once, for networks that keep the entries of a batch apart.
    """
    changed: np.ndarray | None = None
    for draw in range(draws):
        moved = _one_draw(_generic(model, draw), shape, draw, batch)
        changed = moved if changed is None else changed | moved
    assert changed is not None
    return changed


def _generic(model: nn.Module, seed: int) -> nn.Module:
    """The network in float64 and eval mode with trainable weights drawn afresh: both signs, none near zero.

    Every other draw is positive throughout, so that no ReLU is dead and sums do not cancel.
    """
    net = copy.deepcopy(model).double().eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in net.parameters():
            if p.requires_grad:
                drawn = torch.rand(p.shape, generator=generator, dtype=torch.float64) + 0.3
                signs = torch.sign(torch.rand(p.shape, generator=generator, dtype=torch.float64) - 0.3)
                p.copy_(drawn * (signs if seed % 2 else 1.0) / max(p[0].numel(), 1) ** 0.5)
    return net


def _one_draw(net: nn.Module, shape: Sequence[int], seed: int, size: int) -> np.ndarray:
    channels, *space = shape
    generator = torch.Generator().manual_seed(100 + seed)
    x = torch.rand(1, *shape, generator=generator, dtype=torch.float64) + 0.1
    pixels = int(np.prod(space))
    height = (3.0, 0.37, -0.5, 1.7, 20.0, -4.0)[seed % 6]
    strength = height * (0.5 + torch.rand(channels, generator=generator, dtype=torch.float64))
    # One copy per pixel, and the undisturbed input last.
    batch = x.repeat(pixels + 1, *[1] * len(shape)).reshape(pixels + 1, channels, pixels)
    for q in range(pixels):
        batch[q, :, q] += strength
    with torch.no_grad():
        out = torch.cat([net(rows.reshape(-1, *shape)) for rows in batch.split(size)])
    scale = out[-1].abs().max().clamp_min(1e-3)
    moved = ((out[:-1] - out[-1]).abs() > TOLERANCE * scale).numpy()
    return moved.reshape(*space, *out.shape[1:])


def mask_of(moved: np.ndarray, space: int, position: Sequence[int]) -> np.ndarray:
    """The pixels that move any channel at a position of the output's last axes."""
    own = moved[(..., *position)]
    return own.reshape(*moved.shape[:space], -1).any(axis=-1)
