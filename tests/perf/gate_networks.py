"""The networks of the gate's study: each can do an extra amount of real work in every forward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from bench.registry.targets import runnable

SIDE = 64
"""Rows and columns of the matrix whose square is one piece of extra work: some 10 microseconds."""


class WithExtra(nn.Module):
    """A network that also squares a matrix `extra` times."""

    def __init__(self, network: nn.Module, extra: int) -> None:
        super().__init__()
        self.network, self.extra = network, extra
        self.register_buffer("matrix", torch.eye(SIDE))

    def forward(self, x: Tensor) -> Any:
        for _ in range(self.extra):
            torch.mm(self.matrix, self.matrix)
        return self.network(x)


def conv(extra: int = 0) -> nn.Module:
    """A small convolution network, for 3 x 64 x 64."""
    layers = [nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU()]
    return WithExtra(nn.Sequential(*layers, nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 8, 1)), extra)


def unet(extra: int = 0) -> nn.Module:
    """A narrow U-Net, for 3 x 64 x 64."""
    return WithExtra(runnable("unet", ()).build(width=0.25, depth=3), extra)


def vae(extra: int = 0) -> nn.Module:
    """A variational autoencoder, for 1 x 28 x 28."""
    return WithExtra(runnable("vae", ()).build(width=2.0), extra)


def hourglass(extra: int = 0) -> nn.Module:
    """One narrow hourglass, for 3 x 64 x 64."""
    return WithExtra(runnable("hourglass", ()).build(stacks=1, width=0.25, depth=3), extra)
