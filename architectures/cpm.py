"""Convolutional pose machines: stages that read the beliefs of the stage before over an ever larger field.

Wei, Ramakrishna, Kanade & Sheikh, CVPR 2016 (arXiv:1602.00134). Layers bear the names of the released network
files. Beliefs have stride 8, or less for small images.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from architectures.layers.blocks import Norm, convolution, he_initialise, scaled
from architectures.layers.heatmaps import HeatmapLoss, Outputs, SquaredError, gaussians, loss_of, staged
from bench.registry import Bounds, Constraint, Published, architecture, facts

PAPER = "Wei et al. 2016, arXiv:1602.00134"
CENTRE_DEVIATION = 21 / 368
"""Of the centre map, in sides of the (square) image: 21 px of the release's 368."""

TrunkName = Literal["paper", "vgg"]
Features = Literal["stage2", "own", "stage1"]
LEVELS: Mapping[TrunkName, tuple[tuple[int, ...], ...]] = {
    "paper": ((128,), (128,), (128,)),
    "vgg": ((64, 64), (128, 128), (256, 256, 256, 256)),
}
"""Channels of the convolutions before each of the three poolings (fewer where the stride is less)."""
VGG_REST = (512, 512, 256, 256, 256, 256, 128)
"""Channels of conv4_1 to conv4_7 of the release with VGG's layers."""


@dataclass(frozen=True)
class Style:
    """How layers are made. `evidence`: side of stage 1's kernels; `kernel`, `refinements` of the later stages."""

    trunk: TrunkName
    evidence: int
    stride: int
    pool: int
    kernel: int
    refinements: int
    width: float
    norm: Norm
    maps: int
    centre: bool

    def size(self, channels: int) -> int:
        return scaled(channels, self.width)

    def conv(self, name: str, inputs: int, outputs: int, kernel: int) -> dict[str, nn.Module]:
        return convolution(name, inputs, outputs, kernel, padding=kernel // 2, norm=self.norm)

    @property
    def features(self) -> int:
        """Channels of the image features that a later stage reads."""
        return self.size(32 if self.trunk == "paper" else VGG_REST[-1])


def _sequence(layers: Mapping[str, nn.Module]) -> nn.Sequential:
    return nn.Sequential(OrderedDict(layers))


def _trunk(style: Style) -> nn.Sequential:
    """Convolutions and poolings: (N, 3, H, W) -> (N, C, ceil(H / stride), ceil(W / stride))."""
    layers: dict[str, nn.Module] = {}
    inputs, kernel = 3, style.evidence if style.trunk == "paper" else 3
    for level, widths in enumerate(LEVELS[style.trunk], start=1):
        for number, channels in enumerate(map(style.size, widths), start=1):
            name = f"conv{level}" if len(widths) == 1 else f"conv{level}_{number}"
            layers |= style.conv(name, inputs, channels, kernel)
            inputs = channels
        if 2**level > style.stride:
            continue
        layers[f"pool{level}"] = nn.MaxPool2d(style.pool, 2, padding=style.pool // 3, ceil_mode=style.pool == 2)
    if style.trunk == "vgg":
        for number, channels in enumerate(map(style.size, VGG_REST), start=1):
            layers |= style.conv(f"conv4_{number}", inputs, channels, 3)
            inputs = channels
    return _sequence(layers)


def _reduction(style: Style) -> nn.Module:
    """Image features for one stage: 5x5 (at most) to 32 channels, or VGG's last map as it is."""
    if style.trunk == "vgg":
        return nn.Identity()
    return _sequence(style.conv("conv4", style.size(LEVELS["paper"][-1][-1]), style.features, min(5, style.evidence)))


def _first_stage(style: Style) -> nn.Sequential:
    """Beliefs from image features alone: local evidence. A 9x9 convolution (not behind VGG), two 1x1."""
    hidden, layers, inputs = style.size(512), {}, style.features
    if style.trunk == "paper":
        layers, inputs = style.conv("conv5", inputs, hidden, style.evidence), hidden
    layers |= style.conv("conv6", inputs, hidden, 1)
    return _sequence(layers | {"conv7": nn.Conv2d(hidden, style.maps, 1)})


def _later_stage(style: Style) -> nn.Sequential:
    """Beliefs from image features and the beliefs before: large kernels, then two 1x1."""
    layers: dict[str, nn.Module] = {}
    inputs, hidden = style.features + style.maps + style.centre, style.size(128)
    for number in range(1, style.refinements + 1):
        layers |= style.conv(f"Mconv{number}", inputs, hidden, style.kernel)
        inputs = hidden
    layers |= style.conv(f"Mconv{style.refinements + 1}", hidden, hidden, 1)
    return _sequence(layers | {f"Mconv{style.refinements + 2}": nn.Conv2d(hidden, style.maps, 1)})


def centre_map(height: int, width: int, stride: int, like: Tensor) -> Tensor:
    """(1, 1, ceil(height / stride), ceil(width / stride)): a Gaussian about the image's centre, as averaged there.

    It marks the person to find: the one in the middle.
    """
    axes = []
    for side in (height, width):
        padded = -(-side // stride) * stride
        places = torch.arange(padded, dtype=like.dtype, device=like.device)
        axes.append(torch.exp(-(((places - (side - 1) / 2) / (CENTRE_DEVIATION * side)) ** 2) / 2))
    gaussian = axes[0][:, None] * axes[1][None, :]
    return F.avg_pool2d(gaussian[None, None], stride + 1, stride, ceil_mode=True)


class BeliefError(SquaredError):
    """Squared error of joints and of the background, whose target is what the largest of the joints leaves of 1."""

    def forward(self, outputs: Outputs, targets: Mapping[str, Tensor]) -> Tensor:
        """Of {out, stage1, .., background}, `background` being (N, stages, h, w). TypeError for one map alone."""
        if isinstance(outputs, Tensor):
            raise TypeError("beliefs come with that of the background: a mapping, no single map")
        joints = super().forward({n: maps for n, maps in outputs.items() if n != "background"}, targets)
        background = outputs["background"].float()
        ideal = gaussians(targets["joints"], (background.shape[-2], background.shape[-1]), self.stride, self.sigma)
        annotated = ideal * (targets["visible"] > 0)[..., None, None]
        errors = (background - (1 - annotated.amax(1, keepdim=True))).square().sum((1, 2, 3)).mean()
        return joints + errors / (torch.pi * self.sigma**2 * annotated.shape[1])


class CPM(nn.Module):
    """Stages of beliefs: (N, 3, H, W) -> {out, stage1, ...}, each (N, joints, ceil(H / stride), ceil(W / stride)).

    `out` is the last stage's. In training without supervision in between there is nothing else; with a background,
    `background` (N, stages, h, w) is each of these stages' belief that no joint is there, the last stage first.
    `receptive_field_layers`: the layers of the paper's Fig. 2, and the stages.
    """

    def __init__(
        self, style: Style, *, stages: int, features: Features, supervision: bool, background: bool, loss: HeatmapLoss
    ) -> None:
        super().__init__()
        self.style, self.background, self.supervision = style, background, supervision
        trunks = {"stage1": 1, "stage2": min(stages, 2), "own": stages}[features]
        self.trunks = nn.ModuleList(_trunk(style) for _ in range(trunks))
        self.reductions = nn.ModuleList(_reduction(style) for _ in range(stages))
        self.stages = nn.ModuleList([_first_stage(style), *(_later_stage(style) for _ in range(stages - 1))])
        he_initialise(self)
        for stage in self.stages:
            nn.init.normal_(list(stage.children())[-1].weight, std=0.01)  # the release's: beliefs start near 0
        self.loss = BeliefError(style.stride) if background else loss_of(loss, style.stride)
        self.receptive_field_layers = dict(self._layers())

    def _layers(self) -> Iterator[tuple[str, str]]:
        trunk = "trunks.0", self.trunks[0]
        reduction = "reductions.0", self.reductions[0]
        for path, part in (trunk, reduction, ("stages.0", self.stages[0])):
            yield from ((n, f"{path}.{n}") for n, m in part.named_children() if isinstance(m, nn.Conv2d))
        for number, stage in enumerate(self.stages, start=1):
            yield f"stage{number}", f"stages.{number - 1}"
            large = [n for n, m in stage.named_children() if isinstance(m, nn.Conv2d)][: self.style.refinements]
            if number > 1:
                yield from ((f"{n}_stage{number}", f"stages.{number - 1}.{n}") for n in large)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        trunks = [trunk(image) for trunk in self.trunks]
        beliefs: list[Tensor] = []
        for number, (reduction, stage) in enumerate(zip(self.reductions, self.stages, strict=True)):
            read = [reduction(trunks[min(number, len(trunks) - 1)])]
            if beliefs:
                read += [beliefs[-1], *self._centre(image)]
            beliefs.append(stage(torch.cat(read, 1)))
        return self._named(beliefs)

    def _centre(self, image: Tensor) -> list[Tensor]:
        if not self.style.centre:
            return []
        height, width = image.shape[-2:]
        return [centre_map(height, width, self.style.stride, image).expand(len(image), -1, -1, -1)]

    def _named(self, beliefs: list[Tensor]) -> dict[str, Tensor]:
        every = self.supervision or not self.training
        if not self.background:
            return staged(beliefs, every=every)
        outputs = staged([b[:, :-1] for b in beliefs], every=every)
        if not self.training:
            return outputs
        empty = staged([b[:, -1] for b in beliefs], every=every)
        return outputs | {"background": torch.stack(list(empty.values()), 1)}


@architecture(
    task="pose",
    source=PAPER,
    small={"stages": 3, "centre": False, "width": 0.125, "joints": 4},
    constraints=(
        Constraint(
            {"loss": "cross_entropy", "background": True},
            "cross-entropy over places asks where a joint is, not whether: it has no background",
        ),
        Constraint({"trunk": "vgg", "features": ("stage2", "own")}, "VGG's features are shared by all stages"),
        Constraint({"trunk": "vgg", "evidence": (3, 5, 7)}, "VGG's kernels are all 3x3"),
    ),
)
def cpm(
    *,
    stages: Annotated[int, Bounds(1, 6)] = 6,
    supervision: bool = True,
    features: Literal["stage2", "own", "stage1"] = "stage2",
    kernel: Literal[3, 5, 7, 9, 11] = 11,
    refinements: Annotated[int, Bounds(1, 8)] = 3,
    centre: bool = True,
    background: bool = True,
    evidence: Literal[3, 5, 7, 9] = 9,
    stride: Literal[2, 4, 8] = 8,
    pool: Literal[2, 3] = 2,
    trunk: Literal["paper", "vgg"] = "paper",
    norm: Literal["none", "batch"] = "none",
    loss: Literal["mse", "cross_entropy"] = "mse",
    width: Annotated[float, Bounds(0.01, 4)] = 1.0,
    joints: Annotated[int, Bounds(1, 4096)] = 14,
) -> nn.Module:
    """Convolutional pose machine: each stage reads the image again and the beliefs of the stage before.

    - `stages`: the first has a receptive field of 160 px, each further one 240 px more. `supervision`: the loss counts
      after every stage, or only after the last.
    - `features`: the image is read by stage 1, and once for all later stages (`stage2`, the paper's), by each stage
      for itself, or by stage 1 alone.
    - `kernel`, `refinements`: side and number of the large convolutions of the later stages: 3 of 11x11.
    - `centre`: later stages read a Gaussian at the image's centre, where the person is, too. mmpose leaves it out.
    - `background`: one more map, for places without a joint; it is learnt, and not among the outputs.
    - `evidence`: side of the first stage's kernels (conv4's is at most 5), which says how local its evidence is, and
      `stride`: both are 9 and 8 in the paper, for images of 368 px; less suits smaller ones.
    - `pool`: side of the pooling windows: 2 as drawn in the paper, 3 in the released files. These pad by a pixel
      before a window, where Caffe pads behind, so that every size has ceil(H / stride) cells.
    - `trunk`: three 9x9 convolutions, or the release whose first ten are VGG-19's (`features`=stage1, `kernel`=7,
      `refinements`=5).
    - `norm`: batch norm behind every convolution but the beliefs' in place of biases, as in mmpose.
    - `loss`: squared error of beliefs (the paper's), or cross-entropy over places; see `architectures.layers.heatmaps`.
    - `width` scales all channels but the beliefs'. `joints`: outputs.

    Inputs (N, 3, H, W), outputs {out, stage1, ...}, each (N, joints, ceil(H / stride), ceil(W / stride)).
    """
    style = Style(trunk, evidence, stride, pool, kernel, refinements, width, norm, joints + background, centre)
    return CPM(style, stages=stages, features=features, supervision=supervision, background=background, loss=loss)


MMPOSE_AXES = {"norm": "batch", "background": False, "centre": False, "joints": 17, "pool": 3}
release = Published(
    "derived from shihenw/convolutional-pose-machines-release@a345bc5, whose files print no such number"
)
release_vgg = release.where(trunk="vgg", features="stage1", kernel=7, refinements=5)
release_pool = release.where(pool=3)
distillation = Published("Fast Pose Distillation's table (recalled)")
distillation_flops = distillation.counted_as("twice_macs")
mmpose = Published("open-mmlab/mmpose, inference_speed_summary.md @53914a5", when=MMPOSE_AXES)
mmpose_flops = mmpose.counted_as("mmcv_gflops")
rebuilt = Published(
    "counted by others from mmpose's layers, which print no such number",
    when=MMPOSE_AXES,
    disputed="mmpose's file has biases and no norm at the six layers of beliefs, nothing behind: 31,304,166, whose "
    "FLOPs round to both printed numbers",
)
figure_2 = Published("Wei et al. 2016, Fig. 2")
facts(
    cpm,
    release("params", 31219866),
    distillation("params", "31 M"),
    release.at(3, 368, 368)("macs", "175.44 G"),
    distillation_flops.at(3, 368, 368)("flops", "351 G"),
    release_vgg("params", 29852058),
    release_vgg.at(3, 368, 368)("macs", "88.42 G"),
    mmpose("params", "31.3 M"),
    rebuilt("params", 31306019),
    mmpose_flops.at(3, 256, 192)("flops", "63.81"),
    mmpose_flops.at(3, 384, 288)("flops", "143.57"),
    figure_2("receptive_field/conv1", 9),
    figure_2("receptive_field/conv2", 26),
    figure_2("receptive_field/conv3", 60),
    figure_2("receptive_field/conv4", 96),
    figure_2("receptive_field/conv5", 160),
    figure_2("receptive_field/stage1", 160),
    figure_2("receptive_field/Mconv1_stage2", 240),
    figure_2("receptive_field/Mconv2_stage2", 320),
    figure_2("receptive_field/Mconv3_stage2", 400),
    release_pool("receptive_field/stage1", 167),
    release_pool("receptive_field/stage2", 407),
    release_pool("receptive_field/stage3", 647),
    release_pool("receptive_field/stage4", 887),
    release_pool("receptive_field/stage5", 1127),
    release_pool("receptive_field/stage6", 1367),
    release_vgg("receptive_field/stage1", 164),
    release_vgg("receptive_field/stage2", 404),
    release_vgg("receptive_field/stage3", 644),
    release_vgg("receptive_field/stage4", 884),
    release_vgg("receptive_field/stage5", 1124),
    release_vgg("receptive_field/stage6", 1364),
)
