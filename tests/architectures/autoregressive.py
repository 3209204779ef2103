"""What comes before what in an autoregressive network: by its order, and by training run."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from architectures.layers.discrete import Autoregressive


def images(levels: int, *shape: int) -> Tensor:
    """Every image of this shape."""
    count = math.prod(shape)
    return torch.tensor(list(itertools.product(range(levels), repeat=count)), dtype=torch.uint8).view(-1, *shape)


def reached(net: Autoregressive, channels: int, height: int, width: int, training_runs: int = 12) -> Tensor:
    """Which values (channel, pixel) change the parameters of which: bool (changed, C * H * W of both), by training run.

    Several images are tried: units may be dead at one of them.
    """
    generator = torch.Generator().manual_seed(1)
    found = torch.zeros(channels * height * width, channels * height * width, dtype=torch.bool)
    for _ in range(training_runs):
        x = torch.randn(1, channels, height, width, dtype=torch.float64, generator=generator)
        many = x.repeat(x.numel(), 1, 1, 1)
        many.view(x.numel(), -1).diagonal().add_(1.0)
        with torch.no_grad():
            moved = (net(many) - net(x)).abs() > 1e-9  # beyond the rounding of sums in another batch
        found |= moved.unflatten(1, (channels, -1)).any(2).flatten(1)
    return found


def before(net: Autoregressive, channels: int, height: int, width: int) -> Tensor:
    """Which value comes before which: bool, as `reached`."""
    ranks = net.conditioning_order(height, width).flatten()
    places = (ranks * channels + torch.arange(channels)[:, None]).flatten()
    return places[:, None] < places
