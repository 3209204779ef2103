"""DeconvNet: VGG-16, its two fully connected layers as a waist, and its mirror image of unpooling and deconvolution.

Noh, Hong & Han, ICCV 2015 (arXiv:1505.04366). Layers bear the names of the published network file.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Annotated, Literal

from torch import Tensor, nn
from torch.nn import functional as F

from architectures.layers.blocks import Norm, convolution, he_initialise, scaled
from architectures.layers.decoding import Size, Trunk, he_initialise_transposed, upsampling_to
from architectures.layers.vgg import CHANNELS, mirrored_widths, vgg_trunk
from bench.registry import Bounds, Examples, Published, architecture, facts

PAPER = "Noh et al. 2015, arXiv:1505.04366"
WINDOW = 7


def deconvolution(name: str, inputs: int, outputs: int, kernel: int, *, padding: int, norm: Norm) -> nn.Sequential:
    """Transposed convolution of stride 1, norm, ReLU: (N, inputs, H, W) -> (N, outputs, H+k-1-2p, W+k-1-2p)."""
    bias = norm == "none"
    layers: dict[str, nn.Module] = {name: nn.ConvTranspose2d(inputs, outputs, kernel, padding=padding, bias=bias)}
    if norm == "batch":
        layers[f"{name}_norm"] = nn.BatchNorm2d(outputs)
    return nn.Sequential(OrderedDict(layers | {f"{name}_relu": nn.ReLU(inplace=True)}))


class Waist(nn.Module):
    """fc6 and fc7 as convolutions, and a 7x7 deconvolution back: (N, C, h, w) -> (N, C, h, w).

    Without padding a 7x7 map (of a 224 px image) becomes a single cell, as in the paper; zeros around a smaller
    map fill it up to 7x7. `same` pads by 3 instead, and has a cell for every cell of the map.
    """

    def __init__(self, channels: int, hidden: int, norm: Norm, same: bool) -> None:
        super().__init__()
        padding = WINDOW // 2 if same else 0
        convolutions = convolution("fc6", channels, hidden, WINDOW, padding=padding, norm=norm)
        convolutions |= convolution("fc7", hidden, hidden, 1, norm=norm)
        self.convolutions = nn.Sequential(OrderedDict(convolutions))
        self.deconvolution = deconvolution("fc6-deconv", hidden, channels, WINDOW, padding=padding, norm=norm)
        self.smallest = 1 if same else WINDOW

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        top, below = _halves(max(self.smallest - height, 0))
        left, right = _halves(max(self.smallest - width, 0))
        y = self.deconvolution(self.convolutions(F.pad(x, [left, right, top, below])))
        return y[..., top : top + height, left : left + width]


def _halves(cells: int) -> Size:
    return cells // 2, cells - cells // 2


class DeconvNet(nn.Module):
    """Trunk, waist, and stages of upsampling and deconvolution: (N, 3, H, W) -> logits (N, classes, H, W).

    `receptive_field_layers`: fc7, whose cells are the classifier's.
    """

    def __init__(
        self, trunk: Trunk, waist: Waist, upsamplings: nn.ModuleList, stages: nn.ModuleDict, score: nn.Conv2d
    ) -> None:
        super().__init__()
        self.trunk, self.waist, self.upsamplings, self.stages = trunk, waist, upsamplings, stages
        self.score = score
        he_initialise(self)
        he_initialise_transposed(self)
        nn.init.kaiming_normal_(score.weight, nonlinearity="linear")  # no ReLU behind it
        self.receptive_field_layers = {"fc7": "waist.convolutions"}

    def forward(self, image: Tensor) -> Tensor:
        x, pooled = self.trunk(image)
        x = self.waist(x)
        layers = zip(self.upsamplings, self.stages.values(), pooled[::-1], strict=True)
        for upsampling, stage, (switches, size) in layers:
            x = stage(upsampling(x, switches, size))
        return self.score(x)


@architecture(
    task="segmentation",
    source=PAPER,
    small={"padding": "same", "width": 0.125, "fc_channels": 128, "classes": 3},
)
def deconvnet(
    *,
    upsampling: Literal["unpooling", "deconvolution", "bilinear"] = "unpooling",
    padding: Literal["paper", "same"] = "paper",
    backbone: Annotated[str, Examples("vgg11")] = "vgg16",
    width: Annotated[float, Bounds(0.01, 4)] = 1.0,
    fc_channels: Annotated[int, Bounds(2, 16384)] = 4096,
    norm: Literal["batch", "none"] = "batch",
    classes: Annotated[int, Bounds(1, 65536)] = 21,
) -> nn.Module:
    """DeconvNet: a VGG net and its mirror image, joined by the switches of the poolings.

    - `upsampling` before the deconvolutions of a stage: unpooling by switches, a learned 4x4 transposed
      convolution of stride 2 (bilinear at the start), or bilinear interpolation. Nothing else changes.
    - `padding`: `paper` has none at the 7x7 waist, of which an image of 224 px gives one cell; `same` pads it.
    - `backbone`: vgg16 as in the paper, vgg11, vgg13 or vgg19. No other: the decoder mirrors it.
    - `width` scales the channels of all layers but the scores, `fc_channels` (the waist) among them.
    - `norm`: batch norm takes the place of the biases before it, which it would cancel.

    Inputs (N, 3, H, W), outputs logits (N, classes, H, W). Raises RegistryError for another backbone.
    """
    trunk = vgg_trunk(backbone, width, norm, upsampling == "unpooling")
    waist = Waist(scaled(CHANNELS[-1], width), scaled(fc_channels, width), norm, padding == "same")
    stages, upsamplings, outputs = {}, [], 0
    for number, widths in zip(range(5, 0, -1), mirrored_widths(backbone, width), strict=True):
        upsamplings.append(upsampling_to(upsampling, widths[0][0]))
        layers = []
        for index, (inputs, outputs) in enumerate(widths, start=1):
            layers.append(deconvolution(f"deconv{number}_{index}", inputs, outputs, 3, padding=1, norm=norm))
        stages[f"stage{number}"] = nn.Sequential(*layers)
    score = nn.Conv2d(outputs, classes, 1)
    return DeconvNet(trunk, waist, nn.ModuleList(upsamplings), nn.ModuleDict(stages), score)


network_file = Published("HyeonwooNoh/DeconvNet@87dd133, prototxt")
counted = Published("counted by hand from the layers of the paper, which prints no such number")
paper = Published(PAPER)
facts(
    deconvnet,
    network_file(
        "params",
        251772245,
        "convolutions and deconvolutions with biases; the affine maps of batch norm (33,408) left out",
        norm="none",
    ),
    counted("params", 251788949, "33,408 of batch norm in place of 16,704 biases"),
    counted("depth", 30, "13 convolutions, fc6, fc7, fc6-deconv, 13 deconvolutions, the score"),
    paper("output_size", 224),
    counted("output_stride/coarsest", 32),
    counted("receptive_field/fc7", 404),
)
