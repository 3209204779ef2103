"""Fully convolutional networks: dense classifiers whose coarse scores are upsampled and fused.

Long, Shelhamer & Darrell, CVPR 2015 (arXiv:1411.4038) and PAMI 2017. Layers bear the names of the
published network files. Maps are cut to each other by their positions on the image (`Grid`), which
follow from the layers passed; no offset is written down anywhere.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from architectures.layers import Norm, convolution, he_initialise, scaled
from bench.registry import Bounds, Constraint, Fact, RegistryError, architecture, suggestion

PAPER = "Long et al. 2015, arXiv:1411.4038"
PAPER_PADDING = 100
STRIDES = (8, 16, 32)
COUNTED = "counted by hand from the layers of the paper, which prints no such number"
NETWORK_FILES = "shelhamer/fcn.berkeleyvision.org@1305c73, train.prototxt"
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


class BilinearUpsampling(nn.Module):
    """Transposed convolution, bilinear at the start: (N, C, h, w) -> (N, C, f(h-1)+k, f(w-1)+k).

    The kernel joins every class with every class, as in the published network files; between different
    classes it starts (and, if not `learned`, stays) at zero. A fixed kernel is a buffer, not a parameter.
    """

    weight: Tensor

    def __init__(self, classes: int, factor: int, kernel: int, learned: bool) -> None:
        super().__init__()
        self.factor = factor
        weight = bilinear_kernel(classes, factor, kernel)
        if learned:
            self.weight = nn.Parameter(weight)
        else:
            self.register_buffer("weight", weight)

    def forward(self, scores: Tensor) -> Tensor:
        return F.conv_transpose2d(scores, self.weight, stride=self.factor)

    def extra_repr(self) -> str:
        return f"{self.weight.shape[0]}, factor={self.factor}, kernel={self.weight.shape[-1]}"


def bilinear_kernel(classes: int, factor: int, kernel: int) -> Tensor:
    """(classes, classes, kernel, kernel): the tent of half-width `factor` from a class to itself, else 0."""
    distance = torch.arange(kernel, dtype=torch.float32) - (kernel - 1) / 2
    tent = (1 - distance.abs() / factor).clamp(min=0)
    return torch.eye(classes)[:, :, None, None] * (tent[:, None] * tent[None, :])


def upsampling_between(coarse: Grid, fine: Grid, classes: int, learned: bool) -> tuple[BilinearUpsampling, Grid]:
    """Upsampling from `coarse` to the stride of `fine`, so that its cells fall on cells of `fine`; its grid.

    The even kernel 2f does so for VGG-16, the odd one 2f-1 where the layers between have odd kernels
    (63 instead of 64 for AlexNet, as published). Raises ValueError where neither does.
    """
    factor = round(coarse.stride / fine.stride)
    for kernel in (2 * factor, 2 * factor - 1):
        grid = coarse.upsampled(kernel, factor)
        if grid.cells_to(fine).is_integer():
            return BilinearUpsampling(classes, factor, kernel, learned), grid
    raise ValueError(f"no bilinear kernel puts the cells of {coarse} on those of {fine}")


def within(one: Tensor, other: Tensor, cells: int) -> Tensor:
    """`one` cut to where `other` exists too; both on one grid, `other` starting `cells` cells after `one`."""
    start = max(cells, 0)
    height = min(one.shape[-2], other.shape[-2] + cells) - start
    width = min(one.shape[-1], other.shape[-1] + cells) - start
    return cropped(one, start, height, width)


def cropped(x: Tensor, start: int, height: int, width: int) -> Tensor:
    """The `height` x `width` cells from `start` on in both axes. Raises ValueError if there are fewer."""
    if start < 0 or height < 1 or width < 1 or x.shape[-2] < start + height or x.shape[-1] < start + width:
        raise ValueError(f"{height}x{width} cells from {start} on are not in a map of {tuple(x.shape[-2:])}")
    return x[..., start : start + height, start : start + width]


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


class TimmEncoder(nn.Module):
    """A timm network's maps at strides 8, 16 and 32: (N, 3, H, W) -> three (N, C, h, w).

    Its layers are not ours to walk, so its cells are taken to tile the image (cell i of a map of stride s
    covers pixels s*i to s*i+s-1), as in every head that resizes with `align_corners=False`. For that, zeros
    fill the image up to a multiple of 32; `paper` padding puts 100 px of them around it first. Raises
    RegistryError for an unknown name or one without these three strides.
    """

    def __init__(self, name: str, padding: Padding, dropout: float) -> None:
        super().__init__()
        import timm

        if not timm.is_model(name):
            raise _unknown_backbone(f"timm:{name}", [f"timm:{n}" for n in timm.list_models()])
        with torch.device("meta"):
            whole: Any = timm.create_model(name, features_only=True)
        reductions = whole.feature_info.reduction()
        if missing := [s for s in STRIDES if s not in reductions]:
            raise RegistryError(f"backbone 'timm:{name}' has strides {reductions}, not {missing}")
        indices = [len(reductions) - 1 - reductions[::-1].index(s) for s in STRIDES]
        self.features: Any = timm.create_model(name, features_only=True, out_indices=indices)
        self.dropout = nn.Dropout(dropout)
        self.channels_last = str(getattr(self.features, "output_fmt", "NCHW")).endswith("NHWC")
        self.border = PAPER_PADDING if padding == "paper" else 0
        self.channels: tuple[int, ...] = tuple(whole.feature_info.channels(indices))
        self.grids = tuple(Grid((s - 1) / 2 - self.border, s) for s in STRIDES)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        rest = [-(side + 2 * self.border) % STRIDES[-1] for side in image.shape[-2:]]
        before, after = self.border, [self.border + r for r in rest]
        maps = self.features(F.pad(image, [before, after[1], before, after[0]]))
        if self.channels_last:
            maps = [m.permute(0, 3, 1, 2) for m in maps]
        return (*maps[:-1], self.dropout(maps[-1]))


class Fusion(nn.Module):
    """Coarse scores upsampled to a finer map, that map's own scores added where it is `scored`."""

    def __init__(self, coarse: Grid, fine: Grid, channels: int, classes: int, *, learned: bool, scored: bool) -> None:
        super().__init__()
        self.upscore, grid = upsampling_between(coarse, fine, classes, learned)
        self.score = score_layer(channels, classes) if scored else None
        self.cells = int(grid.cells_to(fine))
        self.grid = fine if self.cells > 0 else grid

    def forward(self, scores: Tensor, skip: Tensor) -> Tensor:
        """(N, classes, h, w), (N, channels, H, W) -> (N, classes, ..): what both cover."""
        upsampled = self.upscore(scores)
        cut = within(upsampled, skip, self.cells)
        return cut if self.score is None else cut + within(self.score(skip), upsampled, -self.cells)


class FCN(nn.Module):
    """Scores at stride 32, upsampled in stages to the image: (N, 3, H, W) -> logits (N, classes, H, W).

    Stages stand at pool4 (stride 16) and pool3 (stride 8): VGG-16's names, used for every backbone. One that
    is not `fused` still cuts the scores to its map, so that nothing but the sum is missing.
    `receptive_field_taps` names the layers whose fields papers print.
    """

    def __init__(
        self,
        encoder: Trunk | TimmEncoder,
        *,
        stride: int,
        fused: tuple[str, ...],
        classes: int,
        learned: bool,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.score = score_layer(encoder.channels[2], classes)
        grid = encoder.grids[2]
        stages: list[Fusion | None] = [None, None]
        for index, name in ((1, "pool4"), (0, "pool3"))[: {32: 0, 16: 1, 8: 2}[stride]]:
            fine, channels = encoder.grids[index], encoder.channels[index]
            stage = Fusion(grid, fine, channels, classes, learned=learned, scored=name in fused)
            stages[index], grid = stage, stage.grid
        self.fuse_pool3, self.fuse_pool4 = stages
        self.upscore, grid = upsampling_between(grid, IMAGE, classes, learned)
        self.border = int(grid.cells_to(IMAGE))
        self.receptive_field_taps = {"score": "score"} | {name: f"fuse_{name}.score" for name in fused}

    def forward(self, image: Tensor) -> Tensor:
        """Raises torch's RuntimeError below 29 px for googlenet_average, whose maps are then too small."""
        pool3, pool4, deepest = self.encoder(image)
        scores = self.score(deepest)
        if self.fuse_pool4 is not None:
            scores = self.fuse_pool4(scores, pool4)
        if self.fuse_pool3 is not None:
            scores = self.fuse_pool3(scores, pool3)
        return cropped(self.upscore(scores), self.border, image.shape[-2], image.shape[-1])


def score_layer(channels: int, classes: int) -> nn.Conv2d:
    """1x1 convolution to class scores, of unit gain at the start.

    The paper starts it at zero, on top of a trained trunk. From scratch that would keep every gradient from
    the trunk in the first step.
    """
    layer = nn.Conv2d(channels, classes, 1)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _encoder(backbone: str, style: Style) -> Trunk | TimmEncoder:
    kind, _, name = backbone.partition(":")
    if kind == "timm":
        if style.width != 1:
            raise RegistryError(f"backbone '{backbone}' has its own widths: leave 'width' at 1")
        return TimmEncoder(name, style.padding, style.dropout)
    if backbone not in BACKBONES:
        raise _unknown_backbone(backbone, list(BACKBONES))
    return Trunk(BACKBONES[backbone].layers(style), BACKBONES[backbone].skips)


def _unknown_backbone(backbone: str, known: list[str]) -> RegistryError:
    near = suggestion(backbone, known)
    there = near if "mean" in near else f" (there is: {', '.join(BACKBONES)}, timm:NAME)"
    return RegistryError(f"no backbone is called '{backbone}'{there}")


def window_classifier(
    *, backbone: str = "vgg16", width: float = 1.0, fc_channels: int = 4096, classes: int = 21
) -> nn.Sequential:
    """The classifier before its conversion: (N, 3, window, window) -> logits (N, classes).

    Slid over an image it gives what the converted network gives in one pass, at many times the cost.
    `backbone` is a key of BACKBONES, which also holds its window in pixels. Same layer names as in `fcn`.
    """
    window = BACKBONES[backbone].window if backbone in BACKBONES else None
    if window is None:
        known = [name for name, b in BACKBONES.items() if b.window is not None]
        raise ValueError(f"no window classifier is called '{backbone}'{suggestion(backbone, known)}")
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


def load_classifier(network: FCN, classifier: nn.Sequential) -> None:
    """Give `network` the weights of a window classifier of its backbone; skip scores stay as they are."""
    weights = convolutionalise(classifier).state_dict()
    score = {name.removeprefix("score."): w for name, w in weights.items() if name.startswith("score.")}
    network.score.load_state_dict(score)
    network.encoder.load_state_dict({n: w for n, w in weights.items() if not n.startswith("score.")})


@architecture(
    task="segmentation",
    source=PAPER,
    facts=(
        Fact("params", 57, PAPER, {"backbone": "alexnet", "stride": 32}, digits=0, scale=1e6),
        Fact("params", 134, PAPER, {"backbone": "vgg16", "stride": 32}, digits=0, scale=1e6),
        Fact("params", 6, PAPER, {"backbone": "googlenet", "stride": 32}, digits=0, scale=1e6),
        Fact("depth", 8, PAPER, {"backbone": "alexnet", "stride": 32}),
        Fact("depth", 16, PAPER, {"backbone": "vgg16", "stride": 32}),
        Fact("depth", 22, PAPER, {"backbone": "googlenet", "stride": 32}),
        Fact("output_stride/coarsest", 32, PAPER, {"backbone": "alexnet", "stride": 32}),
        Fact("output_stride/coarsest", 32, PAPER, {"backbone": "vgg16", "stride": 32}),
        Fact("output_stride/coarsest", 32, PAPER, {"backbone": "googlenet", "stride": 32}),
        Fact("receptive_field", 355, PAPER, {"backbone": "alexnet", "stride": 32}),
        Fact("receptive_field", 404, PAPER, {"backbone": "vgg16", "stride": 32}),
        Fact(
            "receptive_field",
            907,
            PAPER,
            {"backbone": "googlenet", "stride": 32},
            disputed=True,
            note="Table 1 counts the average pooling that the text says was discarded (googlenet_average)",
        ),
        Fact("params", 56954261, COUNTED, {"backbone": "alexnet", "stride": 32}),
        Fact("params", 134346581, COUNTED, {"backbone": "vgg16", "stride": 32}),
        Fact("params", 5995077, COUNTED, {"backbone": "googlenet", "stride": 32}),
        Fact("receptive_field", 715, COUNTED, {"backbone": "googlenet", "stride": 32}),
        Fact("receptive_field", 907, COUNTED, {"backbone": "googlenet_average", "stride": 32}),
        Fact("receptive_field", 404, COUNTED, {"backbone": "vgg16", "stride": 8}),
        Fact("receptive_field/pool4", 100, COUNTED, {"backbone": "vgg16", "stride": 8}),
        Fact("receptive_field/pool3", 44, COUNTED, {"backbone": "vgg16", "stride": 8}),
        Fact(
            "macs",
            181.37,
            COUNTED,
            {"stride": 32},
            shape=(3, 500, 500),
            digits=2,
            scale=1e9,
            note="pad 100 and the dense deconvolution counted",
        ),
        Fact("params/buffers", 1806336, NETWORK_FILES, {"stride": 32}, note="dense deconvolutions, fixed"),
        Fact("params/buffers", 458640, NETWORK_FILES, {"stride": 16}, note="dense deconvolutions, fixed"),
        Fact("params/buffers", 127008, NETWORK_FILES, {"stride": 8}, note="dense deconvolutions, fixed"),
        Fact("params", 136.15, NETWORK_FILES, {"stride": 32, "upsampling": "learned"}, digits=2, scale=1e6),
        Fact("params", 134.82, NETWORK_FILES, {"stride": 16, "upsampling": "learned"}, digits=2, scale=1e6),
        Fact("params", 134.49, NETWORK_FILES, {"stride": 8, "upsampling": "learned"}, digits=2, scale=1e6),
    ),
    constraints=(Constraint({"stride": 32, "skips": "pool4"}, "at stride 32 there is nothing to fuse"),),
)
def fcn(
    *,
    stride: Literal[32, 16, 8] = 8,
    skips: Literal[True, False, "pool4"] = True,
    backbone: str = "vgg16",
    upsampling: Literal["fixed", "learned"] = "fixed",
    padding: Literal["paper", "same"] = "paper",
    width: Annotated[float, Bounds(0.01, 4)] = 1.0,
    fc_channels: Annotated[int, Bounds(2, 16384)] = 4096,
    norm: Literal["none", "batch"] = "none",
    dropout: Annotated[float, Bounds(0, 0.95)] = 0.5,
    classes: Annotated[int, Bounds(1, 65536)] = 21,
) -> nn.Module:
    """FCN-32s, FCN-16s or FCN-8s: a converted classifier with fused skips.

    - `stride`: of the finest scores before the last upsampling. At 32 there is nothing to fuse:
      `skips` true and false are the same network, FCN-32s.
    - `skips`: false leaves the fused scores out of the same staged upsampling, `pool4` fuses that map only.
    - `backbone`: alexnet, vgg16, googlenet (as in the paper, its average pooling dropped), googlenet_average
      (kept), or timm:NAME for a timm network with maps at strides 8, 16 and 32, untrained.
    - `upsampling`: transposed convolutions that start bilinear; fixed ones are no parameters.
    - `padding`: `paper` is 100 px before the first convolution and none at fc6, `same` fits small images.
    - `width` scales the channels of all layers but the scores, `fc_channels` (fc6 and fc7) among them.
    - `norm`: batch norm behind every convolution of the three classifiers, in place of their response norm.
      timm networks have their own norms.

    Inputs (N, 3, H, W), outputs logits (N, classes, H, W). Raises RegistryError for an unknown backbone.
    """
    fused = {True: ("pool4", "pool3"), False: (), "pool4": ("pool4",)}[skips][: STRIDES[::-1].index(stride)]
    encoder = _encoder(backbone, Style(width, norm, dropout, padding, fc_channels))
    return FCN(encoder, stride=stride, fused=fused, classes=classes, learned=upsampling == "learned")
