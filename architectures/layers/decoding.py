"""Blocks of encoder-decoders that several families share: poolings with switches, and what undoes them."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Upsampling = Literal["unpooling", "deconvolution", "bilinear"]
Size = tuple[int, int]


class Pool(nn.Module):
    """Maxima of 2x2 windows, rounded up at odd sides: (N, C, H, W) -> (N, C, ceil(H/2), ceil(W/2)) and switches.

    The switches say which pixel was the maximum; None without `keep_switches`.
    """

    def __init__(self, keep_switches: bool) -> None:
        super().__init__()
        self.keep_switches = keep_switches

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        if self.keep_switches:
            pooled, switches = F.max_pool2d(x, 2, ceil_mode=True, return_indices=True)
            return pooled, switches
        return F.max_pool2d(x, 2, ceil_mode=True), None

    def extra_repr(self) -> str:
        return f"switches={self.keep_switches}"


class Trunk(nn.Module):
    """Stages of convolutions, each followed by a 2x2 pooling: (N, C, H, W) -> (N, D, H / 2^k, W / 2^k), rounded up.

    With it come, stage by stage, the switches of the pooling (None without `keep_switches`) and the size before it.
    """

    def __init__(self, stages: Mapping[str, nn.Module], keep_switches: bool) -> None:
        super().__init__()
        self.stages = nn.ModuleDict(OrderedDict(stages))
        self.pools = nn.ModuleList(Pool(keep_switches) for _ in stages)

    def forward(self, image: Tensor) -> tuple[Tensor, list[tuple[Tensor | None, Size]]]:
        x, pooled = image, []
        for stage, pool in zip(self.stages.values(), self.pools, strict=True):
            x = stage(x)
            size = (x.shape[-2], x.shape[-1])
            x, switches = pool(x)
            pooled.append((switches, size))
        return x, pooled


class Unpooling(nn.Module):
    """Every value back to the pixel that was its maximum, zeros elsewhere (Zeiler & Fergus 2014)."""

    def forward(self, x: Tensor, switches: Tensor | None, size: Size) -> Tensor:
        """(N, C, h, w), switches of that shape -> (N, C, *size)."""
        if switches is None:
            raise ValueError("unpooling needs the switches of its pooling")
        return F.max_unpool2d(x, switches, (2, 2), output_size=list(size))


class Interpolation(nn.Module):
    """Bilinear interpolation to the size before the pooling: (N, C, h, w) -> (N, C, *size)."""

    def forward(self, x: Tensor, switches: Tensor | None, size: Size) -> Tensor:
        return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


class Deconvolution(nn.Module):
    """Learned transposed convolution of stride 2, cut to the size before the pooling: (N, C, h, w) -> (N, C, *size).

    Joins all channels and starts as bilinear interpolation of each, as in FCN and the variants of SegNet. An
    even kernel of at least 2; the rim beyond the map is padding, so that the output is twice as large.
    """

    def __init__(self, channels: int, kernel: int = 4) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(channels, channels, kernel, 2, padding=kernel // 2 - 1, bias=False)
        tent = _tent(kernel)
        with torch.no_grad():
            self.up.weight.copy_(torch.eye(channels)[:, :, None, None] * (tent[:, None] * tent[None, :]))

    def forward(self, x: Tensor, switches: Tensor | None, size: Size) -> Tensor:
        return self.up(x)[..., : size[0], : size[1]]


def _tent(kernel: int) -> Tensor:
    """(kernel,): bilinear interpolation by two, in the middle of a wider kernel where there is one."""
    distance = torch.arange(kernel, dtype=torch.float32) - (kernel - 1) / 2
    return (1 - distance.abs() / 2).clamp(min=0)


def upsampling_to(how: Upsampling, channels: int, kernel: int = 4) -> Unpooling | Interpolation | Deconvolution:
    """The layer that undoes a pooling in one of three ways; `kernel` is that of the deconvolution."""
    if how == "deconvolution":
        return Deconvolution(channels, kernel)
    return Unpooling() if how == "unpooling" else Interpolation()


def he_initialise_transposed(network: nn.Module) -> None:
    """Normal weights of variance 2/fan_in in transposed convolutions other than of `Deconvolution`; biases 0.

    An output of a transposed convolution of stride s sums k*k / (s*s) taps of every input channel.
    """
    bilinear = {id(m.up) for m in network.modules() if isinstance(m, Deconvolution)}
    for layer in network.modules():
        if isinstance(layer, nn.ConvTranspose2d) and id(layer) not in bilinear:
            taps = layer.weight[0, 0].numel() / math.prod(layer.stride)
            nn.init.normal_(layer.weight, std=math.sqrt(2 / (layer.in_channels * taps)))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
