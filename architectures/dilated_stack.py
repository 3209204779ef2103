"""A stack of dilated 3x3 convolutions at full resolution: a probe whose receptive field is set to the pixel.

After the context module of Yu & Koltun, ICLR 2016 (arXiv:1511.07122), on the image itself: no pooling, no stride,
so the field is a square around its pixel that reaches the sum of the rates to every side, and rates change neither
parameters nor operations. Pooling levels (Zhao et al., CVPR 2017, arXiv:1612.01105) can follow it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from architectures.layers.atrous import atrous_convolution, initialise_scores, running
from architectures.layers.blocks import Norm, he_initialise
from bench.registry import Bounds, Published, architecture, facts

PAPER = "Yu & Koltun 2016, arXiv:1511.07122"


class Levels(nn.Module):
    """The map and its means over bins x bins parts of the image, side by side: (N, C, H, W) -> (N, `channels`, H, W).

    Each level is brought to C / (number of levels) channels by a 1x1 convolution, then upsampled.
    """

    def __init__(self, inputs: int, bins: Sequence[int], norm: Norm) -> None:
        super().__init__()
        outputs = max(1, inputs // len(bins))
        self.levels = nn.ModuleList([
            running({"pool": nn.AdaptiveAvgPool2d(b)} | atrous_convolution("reduce", inputs, outputs, 1, norm=norm))
            for b in bins
        ])  # fmt: skip
        self.channels = inputs + outputs * len(bins)

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[-2:]
        return torch.cat([x, *[F.interpolate(level(x), size=size, mode="bilinear") for level in self.levels]], 1)


class DilatedStack(nn.Module):
    """Dilated layers, levels if any, a 1x1 layer and the scores: (N, 3, H, W) -> logits (N, classes, H, W)."""

    def __init__(self, rates: Sequence[int], bins: Sequence[int], width: int, norm: Norm, classes: int) -> None:
        super().__init__()
        layers: dict[str, nn.Module] = {}
        for number, rate in enumerate(rates, start=1):
            layers |= atrous_convolution(f"conv{number}", 3 if number == 1 else width, width, 3, rate=rate, norm=norm)
        self.stack = running(layers)
        self.levels = Levels(width, bins, norm) if bins else None
        inputs = width if self.levels is None else self.levels.channels
        self.mix = running(atrous_convolution("conv", inputs, width, 1, norm=norm))
        self.score = nn.Conv2d(width, classes, 1)
        he_initialise(self)
        initialise_scores(self.score)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stack(image)
        if self.levels is not None:
            x = self.levels(x)
        return self.score(self.mix(x))


@architecture(
    task="segmentation",
    source=PAPER,
    small={"width": 4, "classes": 3},
)
def dilated_stack(
    *,
    rates: Annotated[tuple[int, ...], Bounds(1, 256)] = (1, 1, 2, 4, 8, 16, 1),
    bins: Annotated[tuple[int, ...], Bounds(1, 64)] = (),
    width: Annotated[int, Bounds(2, 4096)] = 16,
    norm: Literal["none", "batch"] = "batch",
    classes: Annotated[int, Bounds(1, 65536)] = 21,
) -> nn.Module:
    """A plain stack of dilated 3x3 convolutions, whose field is known to the pixel.

    - `rates`: a layer for each; the field has 1 + 2 * sum(rates) pixels a side, without holes where no rate is
      more than one and twice the sum of those before it. By default those of the paper's context module.
    - `bins`: per side, of the levels of a pooling pyramid behind the stack; none: no pyramid.
    - `width`: channels of every layer. `norm`: batch norm behind every layer but the scores.

    Inputs (N, 3, H, W), outputs logits (N, classes, H, W).
    """
    return DilatedStack(rates, bins, width, norm, classes)


section_2 = Published("Yu & Koltun 2016, arXiv:1511.07122, section 2: 2^(i+2) - 1 behind layer i of rates 1, 2, 4, ..")
table_1 = Published("Yu & Koltun 2016, arXiv:1511.07122, Table 1")
paper = Published(PAPER)
facts(
    dilated_stack,
    section_2("receptive_field", 3, rates=(1,)),
    section_2("receptive_field", 7, rates=(1, 2)),
    section_2("receptive_field", 15, rates=(1, 2, 4)),
    section_2("receptive_field", 31, rates=(1, 2, 4, 8)),
    table_1("receptive_field", 33, rates=(1, 1, 2, 4, 8)),
    table_1("receptive_field", 65, rates=(1, 1, 2, 4, 8, 16)),
    table_1("receptive_field", 67, rates=(1, 1, 2, 4, 8, 16, 1)),
    paper("output_stride", 1),
)
