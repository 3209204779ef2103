"""Stacked hourglasses: networks that go down to a few cells and up again, one behind the other.

Newell, Yang & Deng, ECCV 2016 (arXiv:1603.06937); layer by layer as in princeton-vl/pose-hg-train@2fef691, hg.lua.
Heatmaps have stride 4. `hourglass_strided` is the other network that goes by the name: CornerNet's (Law & Deng,
ECCV 2018), which mmpose lists as Hourglass-52.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from torch import Tensor, nn
from torch.nn import functional as F

from architectures.layers.blocks import convolution, he_initialise, scaled
from architectures.layers.heatmaps import HeatmapLoss, loss_of, staged
from bench.registry import Bounds, Published, architecture, facts

PAPER = "Newell et al. 2016, arXiv:1603.06937"
STRIDE = 4
DEPTH = 4
"""Times that an hourglass halves its maps."""
STRIDED_CHANNELS = (256, 256, 384, 384, 384, 512)
STRIDED_BLOCKS = (2, 2, 2, 2, 2, 4)
"""Of each level of CornerNet's hourglass, from the outermost on."""

Layout = Literal["newell", "pytorch-pose"]


class Residual(nn.Module):
    """Norm before activation before convolution, 1x1, 3x3, 1x1, added to a shortcut: (N, C, H, W) -> (N, D, H, W).

    Biases stand although a norm follows, as in the release. The shortcut is a 1x1 convolution where C is not D.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = outputs // 2
        self.norm1, self.conv1 = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, half, 1)
        self.norm2, self.conv2 = nn.BatchNorm2d(half), nn.Conv2d(half, half, 3, padding=1)
        self.norm3, self.conv3 = nn.BatchNorm2d(half), nn.Conv2d(half, outputs, 1)
        self.shortcut: nn.Module = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.relu(self.norm1(x)))
        y = self.conv2(F.relu(self.norm2(y)))
        return self.conv3(F.relu(self.norm3(y))) + self.shortcut(x)


def residuals(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(Residual(channels, channels) for _ in range(count)))


class Hourglass(nn.Module):
    """Down `depth` poolings and up again, a branch at each size: (N, C, H, W) -> (N, C, H, W).

    `modules` residuals stand wherever hg.lua has one group. Odd sides are rounded up on the way down and cut on
    the way up. Without `skips` there are no branches, so nothing but the deepest map gets through.
    """

    def __init__(self, channels: int, modules: int, *, skips: bool, depth: int = DEPTH) -> None:
        super().__init__()
        self.skip = residuals(channels, modules) if skips else None
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        self.down = residuals(channels, modules)
        inner = Hourglass(channels, modules, skips=skips, depth=depth - 1) if depth > 1 else None
        self.inner: nn.Module = residuals(channels, modules) if inner is None else inner
        self.up = residuals(channels, modules)

    def forward(self, x: Tensor) -> Tensor:
        y = doubled(self.up(self.inner(self.down(self.pool(x)))), x)
        return y if self.skip is None else self.skip(x) + y


def doubled(x: Tensor, like: Tensor) -> Tensor:
    """Every cell becomes four: (N, C, h, w) -> (N, C, H, W) of `like`, where 2h - 1 <= H <= 2h."""
    height, width = like.shape[-2:]
    return F.interpolate(x, scale_factor=2, mode="nearest")[..., :height, :width]


def _linear(channels: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, channels, 1), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]


class Prediction(nn.Module):
    """Heatmaps behind an hourglass: (before, behind), each (N, C, H, W) -> heatmaps, and what the next one starts from.

    That is the sum of the maps before it, the features, and the heatmaps, each through 1x1. The `last` starts none.
    """

    def __init__(self, channels: int, modules: int, joints: int, *, last: bool) -> None:
        super().__init__()
        self.features = nn.Sequential(*residuals(channels, modules), *_linear(channels))
        self.score = nn.Conv2d(channels, joints, 1)
        self.features_back = None if last else nn.Conv2d(channels, channels, 1)
        self.score_back = None if last else nn.Conv2d(joints, channels, 1)

    def forward(self, before: Tensor, behind: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(behind)
        scores = self.score(features)
        if self.features_back is None or self.score_back is None:
            return scores, features
        return scores, before + self.features_back(features) + self.score_back(scores)


def _stem(width: float, layout: Layout) -> nn.Sequential:
    """(N, 3, H, W) -> (N, 256, H / 4, W / 4), rounded up; pytorch-pose widens the second residual to 256."""
    first, half, full = (scaled(c, width) for c in (64, 128, 256))
    middle = full if layout == "pytorch-pose" else half
    return nn.Sequential(
        nn.Conv2d(3, first, 7, stride=2, padding=3),
        nn.BatchNorm2d(first),
        nn.ReLU(inplace=True),
        Residual(first, half),
        nn.MaxPool2d(2, ceil_mode=True),
        Residual(half, middle),
        Residual(middle, full),
    )


class StackedHourglass(nn.Module):
    """Hourglasses, each with its heatmaps: (N, 3, H, W) -> {out, stage1, ...}, (N, joints, H / 4, W / 4) rounded up.

    `out` is the last stack's. In training without supervision in between there is nothing else.
    """

    def __init__(
        self,
        stem: nn.Module,
        hourglasses: Sequence[nn.Module],
        predictions: Sequence[nn.Module],
        *,
        supervision: bool,
        loss: HeatmapLoss,
    ) -> None:
        super().__init__()
        self.stem, self.supervision = stem, supervision
        self.loss = loss_of(loss, STRIDE)
        self.hourglasses, self.predictions = nn.ModuleList(hourglasses), nn.ModuleList(predictions)
        he_initialise(self)
        self.receptive_field_layers = {
            f"stage{n}": f"predictions.{n - 1}.score" for n, p in enumerate(predictions, 1) if p.score is not None
        }

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        x, heatmaps = self.stem(image), []
        for hourglass, prediction in zip(self.hourglasses, self.predictions, strict=True):
            scores, x = prediction(x, hourglass(x))
            heatmaps += [] if scores is None else [scores]
        return staged(heatmaps, every=self.supervision or not self.training)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with norms, added to a shortcut: (N, C, H, W) -> (N, D, H / stride, W / stride)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.norm2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            projection = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


def _narrowing(inputs: int, outputs: int, count: int, stride: int = 1) -> nn.Sequential:
    """Blocks of which the first changes channels and size."""
    rest = (BasicBlock(outputs, outputs) for _ in range(count - 1))
    return nn.Sequential(BasicBlock(inputs, outputs, stride), *rest)


def _widening(inputs: int, outputs: int, count: int) -> nn.Sequential:
    """Blocks of which the last changes channels."""
    rest = (BasicBlock(inputs, inputs) for _ in range(count - 1))
    return nn.Sequential(*rest, BasicBlock(inputs, outputs))


class StridedHourglass(nn.Module):
    """An hourglass whose way down is strided and widens: (N, C, H, W) -> (N, C, H, W).

    `channels` and `blocks` of each level, from this one down. No pooling. Odd sides as in `Hourglass`.
    """

    def __init__(self, channels: Sequence[int], blocks: Sequence[int], *, skips: bool) -> None:
        super().__init__()
        own, below = channels[:2]
        self.skip = _narrowing(own, own, blocks[0]) if skips else None
        self.down = _narrowing(own, below, blocks[0], stride=2)
        deepest = len(channels) == 2
        self.inner: nn.Module = (
            _narrowing(below, below, blocks[1]) if deepest else StridedHourglass(channels[1:], blocks[1:], skips=skips)
        )
        self.up = _widening(below, own, blocks[0])

    def forward(self, x: Tensor) -> Tensor:
        y = doubled(self.up(self.inner(self.down(x))), x)
        return y if self.skip is None else self.skip(x) + y


class StridedPrediction(nn.Module):
    """As `Prediction`; the heatmaps are not fed back: maps before and features through 1x1, added, one block.

    Where nothing would teach its heatmaps, neither a loss of their own nor what follows, it has none.
    """

    def __init__(self, channels: int, joints: int, *, last: bool, supervised: bool) -> None:
        super().__init__()
        self.features = nn.Sequential(*convolution("conv", channels, channels, 3, padding=1, norm="batch").values())
        self.score = nn.Conv2d(channels, joints, 1) if last or supervised else None
        self.before, self.back = (None if last else _projection(channels) for _ in range(2))
        self.block = None if last else BasicBlock(channels, channels)

    def forward(self, before: Tensor, behind: Tensor) -> tuple[Tensor | None, Tensor]:
        features = self.features(behind)
        scores = None if self.score is None else self.score(features)
        if self.before is None or self.back is None or self.block is None:
            return scores, features
        return scores, self.block(F.relu(self.before(before) + self.back(features)))


def _projection(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, channels, 1, bias=False), nn.BatchNorm2d(channels))


@architecture(
    task="pose",
    source=PAPER,
    small={"stacks": 2, "width": 0.125, "joints": 4},
)
def hourglass(
    *,
    stacks: Annotated[int, Bounds(1, 8)] = 8,
    modules: Annotated[int, Bounds(1, 8)] = 1,
    depth: Annotated[int, Bounds(1, 6)] = 4,
    skips: bool = True,
    supervision: bool = True,
    layout: Literal["newell", "pytorch-pose"] = "newell",
    loss: Literal["mse", "cross_entropy"] = "mse",
    width: Annotated[float, Bounds(0.01, 4)] = 1.0,
    joints: Annotated[int, Bounds(1, 4096)] = 16,
) -> nn.Module:
    """Stacked hourglass: down to a 64th of the image and up again, several times, with heatmaps after each.

    - `stacks`: hourglasses. `modules`: residuals wherever there is one in the deepest net: 1 x 8, 2 x 4, 4 x 2 and
      8 x 1 stacks and modules have about equal parameters (the paper's ablation).
    - `depth`: how often each halves its maps, which begin at stride 4.
    - `skips`: the branch at each size on the way down, added on the way up. Without it only the deepest map counts.
    - `supervision`: the loss counts after every stack, or only after the last.
    - `layout`: pytorch-pose's release widens the second residual of the stem.
    - `loss`: squared error of heatmaps (the paper's), or cross-entropy over places (`architectures.layers.heatmaps`).
    - `width` scales all channels but the heatmaps. `joints`: heatmaps.

    Inputs (N, 3, H, W), outputs {out, stage1, ...}, each (N, joints, H / 4, W / 4), rounded up.
    """
    channels = scaled(256, width)
    hourglasses = [Hourglass(channels, modules, skips=skips, depth=depth) for _ in range(stacks)]
    predictions = [Prediction(channels, modules, joints, last=n == stacks - 1) for n in range(stacks)]
    return StackedHourglass(_stem(width, layout), hourglasses, predictions, supervision=supervision, loss=loss)


@architecture(
    task="pose",
    source="Law & Deng 2018, arXiv:1808.01244; as pose network in open-mmlab/mmpose",
    small={"stacks": 2, "width": 0.125, "joints": 4},
)
def hourglass_strided(
    *,
    stacks: Annotated[int, Bounds(1, 8)] = 1,
    skips: bool = True,
    supervision: bool = True,
    loss: Literal["mse", "cross_entropy"] = "mse",
    width: Annotated[float, Bounds(0.01, 4)] = 1.0,
    joints: Annotated[int, Bounds(1, 4096)] = 17,
) -> nn.Module:
    """CornerNet's hourglass: strided basic blocks that widen on the way down (Hourglass-52 is one, -104 two).

    Axes as in `hourglass`. Inputs (N, 3, H, W), outputs {out, stage1, ...}, each (N, joints, H / 4, W / 4), rounded up.
    """
    channels = [scaled(c, width) for c in STRIDED_CHANNELS]
    first = scaled(128, width)
    stem = nn.Sequential(
        *convolution("conv", 3, first, 7, stride=2, padding=3, norm="batch").values(),
        BasicBlock(first, channels[0], stride=2),
    )
    hourglasses = [StridedHourglass(channels, STRIDED_BLOCKS, skips=skips) for _ in range(stacks)]
    predictions = [
        StridedPrediction(channels[0], joints, last=n == stacks - 1, supervised=supervision) for n in range(stacks)
    ]
    return StackedHourglass(stem, hourglasses, predictions, supervision=supervision, loss=loss)


release = Published("derived from princeton-vl/pose-hg-train@2fef691, hg.lua, which prints no such number")
section_4_2 = Published("Newell et al. 2016, section 4.2: about equal parameters; numbers derived from hg.lua")
pytorch_pose = Published(
    "yuanyuanli85/Fast_Human_Pose_Estimation_Pytorch @14604dc, README", when={"layout": "pytorch-pose"}
)
distillation = Published("Fast Pose Distillation's table (recalled)")
distillation_flops = distillation.counted_as("twice_macs")
hrnet = Published("Sun et al. 2019 (HRNet), Table 1")
hrnet_flops = hrnet.counted_as("hrnet_gflops")
cpn = Published(
    "Chen et al. 2018 (CPN), Tables 3 and 8",
    shape=(3, 256, 192),
    disputed="its own variant of the network, whose layers are not known",
)
facts(
    hourglass,
    release("params", 25434112),
    release.at(3, 256, 256)("macs", "27.44 G"),
    release.at(3, 256, 192)("macs", "20.58 G"),
    section_4_2("params", "24.45 M", stacks=1, modules=8),
    section_4_2.at(3, 256, 256)("macs", "23.45 G", stacks=1, modules=8),
    section_4_2("params", "24.59 M", stacks=2, modules=4),
    section_4_2.at(3, 256, 256)("macs", "24.02 G", stacks=2, modules=4),
    section_4_2("params", "24.87 M", stacks=4, modules=2),
    section_4_2.at(3, 256, 256)("macs", "25.16 G", stacks=4, modules=2),
    section_4_2("params", "25.43 M", stacks=8, modules=1),
    section_4_2.at(3, 256, 256)("macs", "27.44 G", stacks=8, modules=1),
    pytorch_pose("params", "25.59 M"),
    pytorch_pose("params", 25594624),
    pytorch_pose("params", 6730912, stacks=2),
    distillation_flops.at(3, 256, 256)("flops", "55 G"),
    distillation.disputed_because("pytorch-pose's variant, 25.59 M, rounds to 26 M; hg.lua's does not")(
        "params", "26 M"
    ),
    hrnet.disputed_because("no count of hg.lua's network gives it: 25.25 M without biases and norms")(
        "params", "25.1 M"
    ),
    hrnet_flops.disputed_because(
        "19.17 at 256x192 in its own unit; times 0.75 it is 14.3, as if scaled from 256x256 a second time"
    ).at(3, 256, 192)("flops", "14.3"),
    cpn("macs", "3.92 G", stacks=1),
    cpn("macs", "6.14 G", stacks=2),
    cpn("macs", "19.48 G", stacks=8),
)


counted = Published("counted by hand from mmpose's layers, which prints no such number")
mmpose = Published("open-mmlab/mmpose, inference_speed_summary.md @53914a5")
mmpose_flops = mmpose.counted_as("mmcv_gflops")
facts(
    hourglass_strided,
    counted("params", 93667217),
    mmpose.disputed_because("with 1,180,672 parameters of a block that is built for one stack and never run")(
        "params", "94.85 M"
    ),
    mmpose_flops.at(3, 256, 256)("flops", "28.67"),
    mmpose_flops.at(3, 384, 384)("flops", "64.5"),
    counted.at(3, 256, 256)("macs", "28.62 G"),
    counted.at(3, 384, 384)("macs", "64.40 G"),
)
