"""The classifiers that FCN converts, as layers: on their window, and as convolutions over an image.

Long, Shelhamer & Darrell, CVPR 2015 (arXiv:1411.4038), section 3.1; Krizhevsky et al. 2012, Simonyan & Zisserman
2015, Szegedy et al. 2015. Layers bear the names of the published network files.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from architectures.layers.blocks import Norm, convolution, he_initialise, scaled
from bench.registry import suggestion

PAPER_PADDING = 100
Padding = Literal["paper", "same", "classifier"]


@dataclass(frozen=True)
class Grid:
    """Where the cells of a map stand: cell i has its centre at `offset + stride * i` pixels of the image."""

    offset: float = 0.0
    stride: float = 1.0

    def through(self, kernel: int, stride: int, padding: int) -> Grid:
        """The grid of what a convolution or pooling with these values makes of a map on this grid."""
        return Grid(self.offset + self.stride * ((kernel - 1) / 2 - padding), self.stride * stride)

    def upsampled(self, kernel: int, factor: int) -> Grid:
        """The grid behind an unpadded transposed convolution of stride `factor`."""
        fine = self.stride / factor
        return Grid(self.offset - fine * (kernel - 1) / 2, fine)

    def cells_to(self, other: Grid) -> float:
        """How many cells after this grid's first cell the first cell of `other` stands."""
        return (other.offset - self.offset) / self.stride


IMAGE = Grid()


def grid_behind(layers: Iterable[nn.Module], grid: Grid) -> Grid:
    """The grid behind `layers`, applied one after the other to a map on `grid`."""
    for layer in layers:
        if isinstance(layer, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)):
            kernel, stride, padding = (_side(v) for v in (layer.kernel_size, layer.stride, layer.padding))
            grid = grid.through(kernel, stride, padding)
    return grid


def _side(value: object) -> int:
    """The one value of a square layer's setting."""
    sides = set(value) if isinstance(value, tuple) else {value}
    side = sides.pop()
    if sides or not isinstance(side, int):
        raise TypeError(f"a layer is expected to be square, with numbers for padding, not {value!r}")
    return side


def _sequence(layers: Mapping[str, nn.Module]) -> nn.Sequential:
    return nn.Sequential(OrderedDict(layers))


class Inception(nn.Module):
    """1x1, 3x3, 5x5 and pooled paths side by side, at stride 1: (N, C, H, W) -> (N, out_channels, H, W).

    `outputs` in the order of INCEPTIONS, whose paper this is.
    """

    def __init__(self, inputs: int, outputs: tuple[int, ...], norm: Norm) -> None:
        super().__init__()
        one, reduce3, three, reduce5, five, pooled = outputs
        self.path1 = _sequence(convolution("conv", inputs, one, 1, norm=norm))
        self.path3 = _sequence(
            convolution("reduce", inputs, reduce3, 1, norm=norm)
            | convolution("conv", reduce3, three, 3, padding=1, norm=norm)
        )
        self.path5 = _sequence(
            convolution("reduce", inputs, reduce5, 1, norm=norm)
            | convolution("conv", reduce5, five, 5, padding=2, norm=norm)
        )
        pool: dict[str, nn.Module] = {"pool": nn.MaxPool2d(3, 1, 1)}
        self.pooled = _sequence(pool | convolution("project", inputs, pooled, 1, norm=norm))
        self.out_channels = one + three + five + pooled

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.path1(x), self.path3(x), self.path5(x), self.pooled(x)], 1)


@dataclass(frozen=True)
class Style:
    """How the layers of a trunk are made: widths, norm, dropout, and what happens at borders.

    `padding`: `paper` pads 100 px before the first convolution and nothing at the converted layers;
    `same` keeps every map at ceil(size / stride) and more, for small images; `classifier` is what the
    original classification network has.
    """

    width: float
    norm: Norm
    dropout: float
    padding: Padding
    fc_channels: int = 4096

    def size(self, channels: int) -> int:
        return scaled(channels, self.width)

    def first(self, name: str, outputs: int, kernel: int, stride: int, padding: int) -> dict[str, nn.Module]:
        """The first convolution, on RGB; `padding` is the classifier's own."""
        padding = {"paper": PAPER_PADDING, "same": kernel // 2, "classifier": padding}[self.padding]
        outputs = self.size(outputs)
        return convolution(name, 3, outputs, kernel, stride=stride, padding=padding, norm=self.norm)

    def conv(self, name: str, inputs: int, outputs: int, kernel: int, groups: int = 1) -> dict[str, nn.Module]:
        """A convolution that keeps the size; channels before the width multiplier."""
        inputs, outputs = self.size(inputs), self.size(outputs)
        return convolution(name, inputs, outputs, kernel, padding=kernel // 2, groups=groups, norm=self.norm)

    def pool(self, name: str, kernel: int) -> dict[str, nn.Module]:
        """Max pooling of stride 2 that rounds up, as Caffe does."""
        padding = (kernel - 1) // 2 if self.padding == "same" else 0
        return {name: nn.MaxPool2d(kernel, 2, padding, ceil_mode=True)}

    def response_norm(self, name: str) -> dict[str, nn.Module]:
        """AlexNet's local response normalisation; batch norm takes its place."""
        return {name: nn.LocalResponseNorm(5)} if self.norm == "none" else {}

    def converted(self, inputs: int, kernel: int) -> dict[str, nn.Module]:
        """fc6 and fc7 as convolutions: the window that fc6 saw becomes its kernel."""
        inputs, hidden = self.size(inputs), self.size(self.fc_channels)
        padding = kernel // 2 if self.padding == "same" else 0
        return (
            convolution("fc6", inputs, hidden, kernel, padding=padding, norm=self.norm)
            | {"drop6": nn.Dropout(self.dropout)}
            | convolution("fc7", hidden, hidden, 1, norm=self.norm)
            | {"drop7": nn.Dropout(self.dropout)}
        )


def _alexnet(style: Style) -> dict[str, nn.Module]:
    """CaffeNet (Krizhevsky et al. 2012 with pooling before the response norm)."""
    return (
        style.first("conv1", 96, kernel=11, stride=4, padding=0)
        | style.pool("pool1", 3)
        | style.response_norm("norm1")
        | style.conv("conv2", 96, 256, 5, groups=2)
        | style.pool("pool2", 3)
        | style.response_norm("norm2")
        | style.conv("conv3", 256, 384, 3)
        | style.conv("conv4", 384, 384, 3, groups=2)
        | style.conv("conv5", 384, 256, 3, groups=2)
        | style.pool("pool5", 3)
        | style.converted(256, kernel=6)
    )


def _vgg16(style: Style) -> dict[str, nn.Module]:
    """Simonyan & Zisserman 2015, configuration D."""
    layers, inputs = style.first("conv1_1", 64, kernel=3, stride=1, padding=1), 64
    for stage, (count, outputs) in enumerate(((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)), start=1):
        for number in range(2 if stage == 1 else 1, count + 1):
            layers |= style.conv(f"conv{stage}_{number}", inputs, outputs, 3)
            inputs = outputs
        layers |= style.pool(f"pool{stage}", 2)
    return layers | style.converted(512, kernel=7)


# Szegedy et al. 2015, Table 1: #1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5, pool proj
INCEPTIONS: Mapping[str, tuple[int, ...]] = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


def _googlenet(style: Style) -> dict[str, nn.Module]:
    """Szegedy et al. 2015, Table 1, without auxiliary heads, final average pooling and classifier."""
    layers = (
        style.first("conv1", 64, kernel=7, stride=2, padding=3)
        | style.pool("pool1", 3)
        | style.response_norm("norm1")
        | style.conv("conv2_reduce", 64, 64, 1)
        | style.conv("conv2", 64, 192, 3)
        | style.response_norm("norm2")
        | style.pool("pool2", 3)
    )
    channels = style.size(192)
    for name, outputs in INCEPTIONS.items():
        block = Inception(channels, tuple(map(style.size, outputs)), style.norm)
        layers[f"inception_{name}"], channels = block, block.out_channels
        if pool := {"3b": "pool3", "4e": "pool4"}.get(name):
            layers |= style.pool(pool, 3)
    return layers


def _googlenet_dense(style: Style) -> dict[str, nn.Module]:
    return _googlenet(style) | {"drop": nn.Dropout(style.dropout)}


def _googlenet_average(style: Style) -> dict[str, nn.Module]:
    padding = 3 if style.padding == "same" else 0
    average = {"average": nn.AvgPool2d(7, 1, padding, count_include_pad=False)}
    return _googlenet(style) | average | {"drop": nn.Dropout(style.dropout)}


@dataclass(frozen=True)
class Backbone:
    """A classifier to convert: its layers, the poolings that reach strides 8 and 16.

    `window` is the side in pixels of the image that it classifies, None where it is no classifier by itself.
    """

    layers: Callable[[Style], dict[str, nn.Module]]
    skips: tuple[str, str]
    window: int | None


BACKBONES: Mapping[str, Backbone] = {
    "alexnet": Backbone(_alexnet, ("pool1", "pool2"), 227),
    "vgg16": Backbone(_vgg16, ("pool3", "pool4"), 224),
    "googlenet": Backbone(_googlenet_dense, ("pool2", "pool3"), None),
    "googlenet_average": Backbone(_googlenet_average, ("pool2", "pool3"), 224),
}


class Trunk(nn.Sequential):
    """A converted classifier: (N, 3, H, W) -> its maps at strides 8, 16, 32, the last ready to be scored."""

    def __init__(self, layers: Mapping[str, nn.Module], skips: tuple[str, str]) -> None:
        super().__init__(OrderedDict(layers))
        self.skips = skips
        he_initialise(self)
        ends = [list(layers).index(name) + 1 for name in skips] + [len(layers)]
        passed = [list(layers.values())[:end] for end in ends]
        self.channels = tuple(_channels_behind(p) for p in passed)
        self.grids = tuple(grid_behind(p, IMAGE) for p in passed)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        x, kept = image, []
        for name, layer in self.named_children():
            x = layer(x)
            if name in self.skips:
                kept.append(x)
        return (*kept, x)


def _channels_behind(layers: Iterable[nn.Module]) -> int:
    return [layer.out_channels for layer in layers if isinstance(layer, (nn.Conv2d, Inception))][-1]


def window_classifier(
    *, backbone: str = "vgg16", width: float = 1.0, fc_channels: int = 4096, classes: int = 21
) -> nn.Sequential:
    """The classifier before its conversion: (N, 3, window, window) -> logits (N, classes).

    Slid over an image it gives what the converted network gives in one pass, at many times the cost.
    `backbone` is a key of BACKBONES, which also holds its window in pixels. Same layer names as in `fcn`.
    """
    window = BACKBONES[backbone].window if backbone in BACKBONES else None
    if window is None:
        names = [name for name, b in BACKBONES.items() if b.window is not None]
        raise ValueError(f"no window classifier is called '{backbone}'{suggestion(backbone, names)}")
    style = Style(width, "none", dropout=0.5, padding="classifier", fc_channels=fc_channels)
    layers, dense = BACKBONES[backbone].layers(style), OrderedDict[str, nn.Module]()
    for name, layer in layers.items():
        if name == "fc6":
            dense["flatten"] = nn.Flatten()
        if name in ("fc6", "fc7") and isinstance(layer, nn.Conv2d):
            layer = nn.Linear(layer.weight[0].numel(), layer.out_channels)
        dense[name] = layer
    dense.setdefault("flatten", nn.Flatten())
    dense["score"] = nn.Linear(_channels_behind(layers.values()), classes)
    classifier = nn.Sequential(dense)
    he_initialise(classifier)
    return classifier


def convolutionalise(classifier: nn.Sequential) -> nn.Sequential:
    """The same network with its linear layers as convolutions: (N, 3, H, W) -> (N, classes, h, w).

    The first one after `nn.Flatten` becomes a convolution over the whole map it was given, the others 1x1
    (Long et al. 2015, section 3.1). Other layers are shared with `classifier`, not copied. Raises
    ValueError where a linear layer's input is no square map of the channels before it.
    """
    layers, channels = OrderedDict[str, nn.Module](), 3
    for name, layer in classifier.named_children():
        if isinstance(layer, nn.Flatten):
            continue
        if isinstance(layer, nn.Linear):
            layer = _as_convolution(layer, channels)
        layers[name] = layer
        if isinstance(layer, (nn.Conv2d, Inception)):
            channels = layer.out_channels
    return nn.Sequential(layers)


def _as_convolution(linear: nn.Linear, channels: int) -> nn.Conv2d:
    kernel = math.isqrt(linear.in_features // channels)
    if kernel**2 * channels != linear.in_features:
        raise ValueError(f"{linear.in_features} inputs are no square map of {channels} channels")
    convolution = nn.Conv2d(channels, linear.out_features, kernel, bias=linear.bias is not None)
    weights = linear.state_dict()
    weights["weight"] = linear.weight.detach().view(-1, channels, kernel, kernel)
    convolution.load_state_dict(weights)
    return convolution.to(linear.weight)
