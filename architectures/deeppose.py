"""DeepPose: coordinates straight from the image, refined by a cascade that looks closer at every joint.

Toshev & Szegedy, CVPR 2014 (arXiv:1312.4659). All coordinates run from -1 to 1 over the image, x first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from architectures.layers.atrous import unknown_backbone
from architectures.layers.blocks import Norm, convolution, he_initialise, scaled
from architectures.layers.heatmaps import staged
from architectures.layers.pretrained import check_timm
from architectures.layers.resnet import UNITS, ResNet
from bench.registry import Bounds, Examples, Published, RegistryError, architecture, facts

PAPER = "Toshev & Szegedy 2014, arXiv:1312.4659"
CELLS = 6
"""Of AlexNet's last map along an axis, for an image of any size."""
LEAST = 0.125
"""Crops span at least this part of the image's shorter side, however small the pose is taken to be."""


class Pooled(nn.Module):
    """The deepest map of a ResNet, averaged, and one linear layer: (N, 3, H, W) -> (N, outputs)."""

    def __init__(self, trunk: ResNet, outputs: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.linear = nn.Linear(trunk.channels[2], outputs)

    def forward(self, image: Tensor) -> Tensor:
        return self.linear(self.trunk(image)[-1].mean((-2, -1)))


def _alexnet(side: int | None, outputs: int, width: float, norm: Norm, grouped: bool, dropout: float) -> nn.Module:
    """The paper's layers, with the norm and pooling order it prints: C LRN P C LRN P C C C P F F and the regressor."""
    groups = 2 if grouped else 1
    sizes = [scaled(channels, width) for channels in (96, 256, 384, 384, 256)]
    hidden = scaled(4096, width)
    pool: Mapping[str, Any] = {"kernel_size": 3, "stride": 2}
    layers = (
        convolution("conv1", 3, sizes[0], 11, stride=4, padding=4, norm=norm)
        | _response("response1", norm)
        | {"pool1": nn.MaxPool2d(**pool)}
        | convolution("conv2", sizes[0], sizes[1], 5, padding=2, groups=groups, norm=norm)
        | _response("response2", norm)
        | {"pool2": nn.MaxPool2d(**pool)}
        | convolution("conv3", sizes[1], sizes[2], 3, padding=1, norm=norm)
        | convolution("conv4", sizes[2], sizes[3], 3, padding=1, groups=groups, norm=norm)
        | convolution("conv5", sizes[3], sizes[4], 3, padding=1, groups=groups, norm=norm)
        | {"pool5": nn.MaxPool2d(**pool)}
        | ({} if side else {"pool6": nn.AdaptiveAvgPool2d(CELLS)})
        | {"flatten": nn.Flatten()}
    )
    cells = alexnet_cells(side) if side else CELLS
    if cells < 1:
        raise RegistryError(f"nothing is left of an image of {side} px behind AlexNet's poolings: 59 px at least")
    for name, inputs in (("fc6", sizes[4] * cells * cells), ("fc7", hidden)):
        layers |= {name: nn.Linear(inputs, hidden), f"{name}_relu": nn.ReLU(inplace=True)}
        layers[f"{name}_drop"] = nn.Dropout(dropout)
    return nn.Sequential(OrderedDict(layers | {"linear": nn.Linear(hidden, outputs)}))


def _response(name: str, norm: Norm) -> dict[str, nn.Module]:
    """AlexNet's local response normalisation; batch norm takes its place."""
    return {name: nn.LocalResponseNorm(5, k=2)} if norm == "none" else {}


def alexnet_cells(side: int) -> int:
    """Cells along an axis of the last pooling, for an image of `side` px: 6 for the paper's 220."""
    cells = (side + 8 - 11) // 4 + 1
    for _ in range(3):
        cells = (cells - 3) // 2 + 1
    return cells


def _regressor(
    backbone: str, side: int | None, outputs: int, width: float, norm: Norm, grouped: bool, dropout: float
) -> nn.Module:
    """(N, 3, H, W) -> (N, outputs), the last layer small at first, so that a stage begins at the middle."""
    network: Any
    if backbone == "alexnet":
        network = _alexnet(side, outputs, width, norm, grouped, dropout)
        he_initialise(network)
        last = network.linear
    elif backbone.startswith("timm:"):
        network, last = _timm(backbone.partition(":")[2], outputs, width)
    elif backbone in UNITS:
        trunk = ResNet(backbone, output_stride=32, layout="torchvision", stem="7x7", width=width)
        network = Pooled(trunk, outputs)
        last = network.linear
    else:
        raise unknown_backbone(backbone, ["alexnet", *UNITS])
    nn.init.normal_(last.weight, std=0.01)
    nn.init.zeros_(last.bias)
    return network


def _timm(name: str, outputs: int, width: float) -> tuple[nn.Module, nn.Linear]:
    import timm

    check_timm(name)
    if width != 1:
        raise RegistryError(f"backbone 'timm:{name}' has its own width: set 'width' to 1")
    network: Any = timm.create_model(name, num_classes=outputs)
    last = network.get_classifier()
    if not isinstance(last, nn.Linear):
        raise RegistryError(f"backbone 'timm:{name}' does not end in one linear layer, which coordinates need")
    return network, last


class DeepPose(nn.Module):
    """A regressor of all joints, and for each later stage one for crops about each joint's estimate.

    (N, 3, H, W) -> coordinates (N, K, 2); of several stages a mapping: `out` is the last, `stage1`, .. those before.
    """

    def __init__(self, stages: Sequence[nn.Module], side: int | None, crop: int, torso: tuple[int, ...], sigma: float):
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.side, self.crop, self.torso, self.sigma = side, crop, torso, sigma

    def forward(self, image: Tensor) -> Tensor | dict[str, Tensor]:
        size = (self.side, self.side) if self.side else image.shape[-2:]
        whole = image if size == image.shape[-2:] else F.interpolate(image, size=size, mode="bilinear")
        estimates = [self.stages[0](whole).unflatten(1, (-1, 2))]
        for stage in self.stages[1:]:
            estimates.append(self._refined(stage, image, estimates[-1].detach()))
        return estimates[0] if len(estimates) == 1 else staged(estimates)

    def _refined(self, stage: nn.Module, image: Tensor, before: Tensor) -> Tensor:
        """`before` plus each joint's displacement, which the stage predicts from the crop about that joint.

        As in the paper, a stage has one network for all joints, with an output for each of them.
        """
        count, joints = before.shape[:2]
        half = self._half_sides(before, image)
        seen = crops(image, before, half, self.crop)
        every = stage(seen).view(count, joints, joints, 2)
        own = torch.diagonal(every, dim1=1, dim2=2).transpose(1, 2)
        return before + half[:, None] * own

    def _half_sides(self, pose: Tensor, image: Tensor) -> Tensor:
        """Half sides (N, 2) of the square crops, in the image's coordinates: sigma times the pose's diameter."""
        sides = torch.tensor([image.shape[-1], image.shape[-2]], device=pose.device, dtype=pose.dtype)
        pixels = pose * sides / 2
        if self.torso:
            diameter = (pixels[:, self.torso[0]] - pixels[:, self.torso[1]]).norm(dim=-1)
        else:
            diameter = (pixels.amax(1) - pixels.amin(1)).norm(dim=-1) / 2
        # The least side is one in pixels, so that the crop stays square in an image that is not.
        return (self.sigma * diameter).clamp(min=LEAST * min(image.shape[-2:]))[:, None] / sides


def crops(image: Tensor, centres: Tensor, half: Tensor, side: int) -> Tensor:
    """Pieces of `side` px about centres (N, K, 2), of half sides (N, 2): (N, C, H, W) -> (N * K, C, side, side).

    Coordinates run from -1 to 1; what lies outside the image is zero.
    """
    count, joints = centres.shape[:2]
    offset = (torch.arange(side, device=image.device, dtype=image.dtype) + 0.5) * (2 / side) - 1
    x = centres[..., 0, None] + half[:, None, :1] * offset
    y = centres[..., 1, None] + half[:, None, 1:] * offset
    shape = (count, joints, side, side)
    grid = torch.stack([x[:, :, None, :].expand(shape), y[:, :, :, None].expand(shape)], -1)
    cut = F.grid_sample(image, grid.flatten(1, 2), align_corners=False)
    return cut.unflatten(2, (joints, side)).transpose(1, 2).flatten(0, 1)


class SquaredDistance(nn.Module):
    """The paper's loss: squared distance of coordinates (N, K, 2) in half sides of the image, summed over stages.

    Averaged over annotated joints inside the image.
    """

    power: Tensor

    def __init__(self) -> None:
        super().__init__()
        # A buffer, so that the no-op check distinguishes networks that differ in their loss alone.
        self.register_buffer("power", torch.tensor(2.0))

    def forward(self, outputs: Tensor | Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
        entries = [outputs] if isinstance(outputs, Tensor) else list(outputs.values())
        truth = (2 * targets["joints"] + 1) / targets["size"][:, None] - 1
        known = (targets["visible"] > 0) & (truth.abs() <= 1).all(-1)
        errors = torch.stack([(entry.float() - truth).abs() ** self.power for entry in entries]).sum((0, -1))
        return (errors * known).sum() / known.sum().clamp(min=1)


@architecture(
    task="pose",
    source=PAPER,
    small={"side": 64, "crop": 64, "width": 0.125, "joints": 4},
)
def deeppose(
    *,
    backbone: Annotated[str, Examples("resnet26", "timm:resnet18")] = "alexnet",
    stages: Annotated[int, Bounds(1, 3)] = 1,
    side: Annotated[int, Bounds(64, 512)] | None = 220,
    crop: Annotated[int, Bounds(32, 512)] = 220,
    torso: Annotated[tuple[int, ...], Examples((0, 1))] = (),
    sigma: Annotated[float, Bounds(0.25, 4)] = 2.0,
    width: Annotated[float, Bounds(0.03125, 2)] = 1.0,
    norm: Literal["none", "batch"] = "none",
    grouped: bool = True,
    dropout: Annotated[float, Bounds(0, 0.95)] = 0.6,
    loss: Literal["l2", "l1"] = "l2",
    joints: Annotated[int, Bounds(1, 64)] = 14,
) -> nn.Module:
    """A network that gives coordinates, and a cascade of such networks on crops about each joint.

    - `backbone`: the paper's alexnet; resnet26, resnet50, resnet101, resnet152 with average pooling and one linear
      layer, as in mmpose; or timm:NAME, untrained.
    - `stages`: 1 is direct regression; each further one adds, joint by joint, a displacement predicted from a crop
      of the original image about the estimate before. All stages are trained together; a crop's place has no gradient.
      The paper trains them in turn, on crops displaced at random.
    - `side`: the image is resized to a square of so many px first; none takes it as it is, and AlexNet then averages
      its last map to 6 x 6 cells. `crop`: px of the crops (64 or more for AlexNet).
    - `sigma` times the pose's diameter is the side of a crop: 2 for LSP in the paper. The diameter is the distance of
      the two joints `torso` (left shoulder and right hip in the paper); where none are named, half the
      diagonal of the box around the estimate.
    - `width` scales the channels. `norm`: batch norm in AlexNet, in place of its response normalisation.
    - `grouped`: AlexNet's convolutions 2, 4 and 5 in two halves. `dropout` behind fc6 and fc7.
    - `loss`: the paper's squared distance, or the distance in each axis.

    Inputs (N, 3, H, W), outputs coordinates (N, joints, 2), of several stages a mapping with `out` and `stage1`, ..
    Raises RegistryError for an unknown backbone, or a torso that is not two of the joints.
    """
    if torso and (len(torso) != 2 or not all(0 <= joint < joints for joint in torso)):
        raise RegistryError(f"'torso' names two of the joints 0 to {joints - 1}, not {list(torso)}")
    sides = [side, *[crop] * (stages - 1)]
    networks = [_regressor(backbone, s, 2 * joints, width, norm, grouped, dropout) for s in sides]
    network = DeepPose(networks, side, crop, torso, sigma)
    if loss == "l2":
        network.loss = SquaredDistance()
    return network


recalled = Published(
    "Toshev & Szegedy 2014, section 3 (recalled)",
    disputed="its own layers make 57.0 M, or 58.4 M without groups; grouped convolutions and fc6 alone are 40.09 M",
)
counted = Published("counted from the layers; the source prints fewer digits or none")
counted_resnet = counted.where(joints=17, side=None)
mmpose = Published("open-mmlab/mmpose docs/en/inference_speed_summary.md @53914a5", when={"joints": 17, "side": None})
mmpose_flops = mmpose.at(3, 256, 192).counted_as("mmcv_gflops")
facts(
    deeppose,
    recalled("params", "40 M"),
    counted("params", 56982940),
    counted("params", "58.4 M", grouped=False),
    mmpose("params", "23.58 M", backbone="resnet50"),
    mmpose("params", "42.57 M", backbone="resnet101"),
    mmpose("params", "58.21 M", backbone="resnet152"),
    counted_resnet("params", 23577698, backbone="resnet50"),
    counted_resnet("params", 42569826, backbone="resnet101"),
    counted_resnet("params", 58213474, backbone="resnet152"),
    mmpose_flops("flops", "4.04", backbone="resnet50"),
    mmpose_flops("flops", "7.69", backbone="resnet101"),
    mmpose_flops("flops", "11.34", backbone="resnet152"),
    counted_resnet.at(3, 256, 192)("macs", "4.004 G", backbone="resnet50"),
    counted_resnet.at(3, 256, 192)("macs", "7.64 G", backbone="resnet101"),
    counted_resnet.at(3, 256, 192)("macs", "11.277 G", backbone="resnet152"),
)
