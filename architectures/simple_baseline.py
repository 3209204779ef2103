"""SimpleBaseline: a ResNet and a few transposed convolutions; other ways to end the same network, for comparison.

Xiao, Wu & Wei, ECCV 2018 (arXiv:1804.06208). Coordinates from the pooled map are mmpose's DeepPose; coordinates as
the mean over a map are Sun et al. 2018's integral regression (arXiv:1711.08229).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from architectures.layers.atrous import TimmTrunk
from architectures.layers.blocks import scaled
from architectures.layers.decoding import he_initialise_transposed
from architectures.layers.heatmaps import loss_of
from architectures.layers.resnet import ResNet
from bench.registry import Bounds, Constraint, Examples, Published, RegistryError, architecture, facts

PAPER = "Xiao et al. 2018, arXiv:1804.06208"
STRIDE = 32


def _deconvolution(name: str, inputs: int, outputs: int, kernel: int) -> dict[str, nn.Module]:
    """Transposed convolution of stride 2 with batch norm and ReLU, to exactly twice the size."""
    padding, missing = {4: (1, 0), 3: (1, 1), 2: (0, 0)}[kernel]
    layer = nn.ConvTranspose2d(inputs, outputs, kernel, 2, padding, output_padding=missing, bias=False)
    return {name: layer, f"{name}_norm": nn.BatchNorm2d(outputs), f"{name}_relu": nn.ReLU(inplace=True)}


class SimpleBaseline(nn.Module):
    """(N, 3, H, W) -> maps (N, K, ceil(H / s), ceil(W / s)), s the stride; or their mean places (N, K, 2), -1 to 1."""

    def __init__(self, trunk: nn.Module, head: nn.Module, stride: int, integral: bool) -> None:
        super().__init__()
        self.trunk, self.head = trunk, head
        self.stride, self.integral = stride, integral

    def forward(self, image: Tensor) -> Tensor:
        rows, columns = (-(-side // self.stride) for side in image.shape[-2:])
        maps = self.head(self.trunk(image)[-1])[..., :rows, :columns]
        return mean_places(maps, self.stride, image) if self.integral else maps


class Coordinates(nn.Module):
    """The trunk's deepest map, averaged, and one linear layer: (N, 3, H, W) -> (N, K, 2), -1 to 1."""

    def __init__(self, trunk: nn.Module, inputs: int, joints: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.linear = nn.Linear(inputs, 2 * joints)
        nn.init.normal_(self.linear.weight, std=0.01)
        nn.init.zeros_(self.linear.bias)

    def forward(self, image: Tensor) -> Tensor:
        deepest = self.trunk(image)[-1]
        return self.linear(deepest.mean((-2, -1))).unflatten(1, (-1, 2))


def mean_places(maps: Tensor, stride: int, image: Tensor) -> Tensor:
    """The expected place under the softmax of maps (N, K, h, w), in the coordinates of `image`: (N, K, 2)."""
    shares = maps.flatten(2).softmax(-1).view_as(maps)
    places = []
    for axis, across in ((-1, -2), (-2, -1)):
        cells = torch.arange(maps.shape[axis], device=maps.device, dtype=maps.dtype)
        centres = (2 * stride * cells + stride) / image.shape[axis] - 1
        places.append((shares.sum(across) * centres).sum(-1))
    return torch.stack(places, -1)


@architecture(
    task="pose",
    source=PAPER,
    small={"backbone": "resnet26", "width": 0.125, "joints": 4},
    constraints=(
        Constraint({"output": ("integral", "coordinates"), "loss": "mse"}, "coordinates have no maps to compare"),
    ),
)
def simple_baseline(
    *,
    backbone: Annotated[str, Examples("resnet26", "timm:resnet18")] = "resnet50",
    output: Literal["heatmaps", "integral", "coordinates"] = "heatmaps",
    deconvolutions: Annotated[int, Bounds(0, 3)] = 3,
    kernel: Literal[4, 3, 2] = 4,
    width: Annotated[float, Bounds(0.03125, 2)] = 1.0,
    loss: Literal["cross_entropy", "mse"] = "cross_entropy",
    joints: Annotated[int, Bounds(1, 64)] = 14,
) -> nn.Module:
    """A ResNet of stride 32 and transposed convolutions: heatmaps, or coordinates from the same features.

    - `output`: heatmaps are the paper's; `integral` gives the mean place of each map, trained by its distance;
      `coordinates` has no transposed convolutions but the mean of the deepest map and one linear layer.
    - `deconvolutions`: each doubles the map (3: stride 4), with `kernel` 4, 3 or 2 and 256 channels.
    - `backbone`: resnet26, resnet50, resnet101, resnet152, or timm:NAME, untrained, of stride 32.
    - `width` scales the channels of all layers but the last.
    - `loss`: cross-entropy over cells, or the paper's squared error against Gaussians (of one cell here).

    Inputs (N, 3, H, W), outputs maps (N, joints, ceil(H / s), ceil(W / s)) or coordinates (N, joints, 2).
    Raises RegistryError for an unknown backbone.
    """
    trunk: ResNet | TimmTrunk
    if backbone.startswith("timm:"):
        if width != 1:
            raise RegistryError(f"backbone '{backbone}' has its own width: set 'width' to 1")
        trunk = TimmTrunk(backbone.partition(":")[2], STRIDE)
    else:
        trunk = ResNet(backbone, output_stride=STRIDE, layout="torchvision", stem="7x7", width=width)
    if output == "coordinates":
        return Coordinates(trunk, trunk.channels[2], joints)
    layers: dict[str, nn.Module] = {}
    inputs, outputs = trunk.channels[2], scaled(256, width)
    for number in range(1, deconvolutions + 1):
        layers |= _deconvolution(f"deconv{number}", inputs, outputs, kernel)
        inputs = outputs
    head = nn.Sequential(OrderedDict(layers | {"scores": nn.Conv2d(inputs, joints, 1)}))
    he_initialise_transposed(head)
    nn.init.normal_(head.scores.weight, std=0.01)
    nn.init.zeros_(head.scores.bias)
    network = SimpleBaseline(trunk, head, STRIDE >> deconvolutions, output == "integral")
    if output == "heatmaps":
        network.loss = loss_of(loss, network.stride)
    return network


hrnet = Published("leoxiaobin/deep-high-resolution-net.pytorch@6f69e46 README", when={"joints": 17})
counted = Published("counted from the layers; the source prints fewer digits or none", when={"joints": 17})
hrnet_flops = hrnet.at(3, 256, 192).counted_as("hrnet_gflops")
counted_flops = counted.at(3, 256, 192).counted_as("hrnet_gflops")
mmpose_flops = Published(
    "open-mmlab/mmpose docs/en/inference_speed_summary.md @53914a5", when={"joints": 17}, convention="mmcv_gflops"
)
paper = Published(PAPER)
facts(
    simple_baseline,
    hrnet("params", "34.0 M", backbone="resnet50"),
    hrnet("params", "53.0 M", backbone="resnet101"),
    hrnet("params", "68.6 M", backbone="resnet152"),
    counted("params", 33999697, backbone="resnet50"),
    counted("params", 52991825, backbone="resnet101"),
    counted("params", 68635473, backbone="resnet152"),
    hrnet_flops.disputed_because("truncated, 8.991 before; the same column rounds 12.378 to 12.4")(
        "flops", "8.9", backbone="resnet50"
    ),
    hrnet_flops("flops", "12.4", backbone="resnet101"),
    hrnet_flops.disputed_because("truncated, 15.765 before; the same column rounds 12.378 to 12.4")(
        "flops", "15.7", backbone="resnet152"
    ),
    counted_flops("flops", "8.991", backbone="resnet50"),
    counted_flops("flops", "12.378", backbone="resnet101"),
    counted_flops("flops", "15.765", backbone="resnet152"),
    mmpose_flops.at(3, 256, 192)("flops", "5.46", backbone="resnet50"),
    mmpose_flops.at(3, 256, 192)("flops", "9.11", backbone="resnet101"),
    mmpose_flops.at(3, 256, 192)("flops", "12.77", backbone="resnet152"),
    mmpose_flops.at(3, 384, 288)("flops", "12.29", backbone="resnet50"),
    mmpose_flops.at(3, 384, 288)("flops", "20.50", backbone="resnet101"),
    mmpose_flops.at(3, 384, 288)("flops", "28.73", backbone="resnet152"),
    counted.at(3, 256, 192)("macs", "5.426 G", backbone="resnet50"),
    counted.at(3, 256, 192)("macs", "9.063 G", backbone="resnet101"),
    counted.at(3, 256, 192)("macs", "12.699 G", backbone="resnet152"),
    paper("output_stride", 4),
)
