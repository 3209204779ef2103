"""Blocks that several families share: scaled widths, a convolution with its norm, He's initialisation."""

from __future__ import annotations

from typing import Literal

from torch import nn

Norm = Literal["none", "batch"]


def scaled(channels: int, width: float) -> int:
    """`channels` times `width`, rounded to an even number (grouped layers split it in two), at least 2."""
    return max(2, 2 * round(channels * width / 2))


def convolution(
    name: str,
    inputs: int,
    outputs: int,
    kernel: int,
    *,
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
    norm: Norm = "none",
) -> dict[str, nn.Module]:
    """Convolution, norm, ReLU as `name`, `name_norm`, `name_relu`: (N, inputs, H, W) -> (N, outputs, ..).

    With batch norm the convolution has no bias: the norm would cancel it.
    """
    layers: dict[str, nn.Module] = {
        name: nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=norm == "none")
    }
    if norm == "batch":
        layers[f"{name}_norm"] = nn.BatchNorm2d(outputs)
    return layers | {f"{name}_relu": nn.ReLU(inplace=True)}


def he_initialise(network: nn.Module) -> None:
    """Normal weights of variance 2/fan_in in convolutions and linear layers (He et al. 2015); biases 0."""
    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
