"""Heatmaps by banks of convolutions at several resolutions, with a model of where joints lie to each other.

Tompson, Jain, LeCun & Bregler 2014 (arXiv:1406.2984). A bank slides a window of 64 px over its image; the bank of
the image at half its size has a receptive field of 128 px, at a quarter 256 px.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from architectures.layers.blocks import Norm, convolution, he_initialise, scaled
from architectures.layers.heatmaps import HeatmapLoss, loss_of, staged
from bench.registry import Bounds, Published, architecture, facts

PAPER = "Tompson et al. 2014, arXiv:1406.2984"
STRIDE = 4
FEATURES, HIDDEN, JOINED = 128, 512, 256


class Bank(nn.Module):
    """Three 5x5 convolutions, two poolings and a 9x9: (N, 3, H, W) -> (N, outputs, ceil(H / 4), ceil(W / 4))."""

    def __init__(self, width: float, norm: Norm) -> None:
        super().__init__()
        features, self.channels = scaled(FEATURES, width), scaled(HIDDEN, width)
        self.layers = nn.Sequential(
            OrderedDict(
                convolution("conv1", 3, features, 5, padding=2, norm=norm)
                | {"pool1": nn.MaxPool2d(2, ceil_mode=True)}
                | convolution("conv2", features, features, 5, padding=2, norm=norm)
                | {"pool2": nn.MaxPool2d(2, ceil_mode=True)}
                | convolution("conv3", features, features, 5, padding=2, norm=norm)
                | convolution("conv4", features, self.channels, 9, padding=4, norm=norm)
            )
        )

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image)


class SpatialModel(nn.Module):
    """What the other joints say of each: probabilities (N, K, h, w) -> sums of logarithms (N, K, h, w).

    The message of joint v to joint a is log(softplus(e_av) * p_v + softplus(b_va)), * being the convolution of v's map
    with a learnt map of where a lies, seen from v (the paper's equation 3, without the joint's own map). The weights
    hold that map turned by 180 degrees, as F.conv2d does not turn it.
    """

    def __init__(self, joints: int, kernel: int) -> None:
        super().__init__()
        self.joints, self.others = joints, joints - 1
        self.weight = nn.Parameter(torch.full((joints * self.others, 1, kernel, kernel), -4.0))
        self.bias = nn.Parameter(torch.zeros(joints * self.others))
        nn.init.normal_(self.weight, mean=-4.0, std=0.1)
        # Message v -> a is number a of v's row, with v itself left out.
        order = [v * self.others + a - (a > v) for a in range(joints) for v in range(joints) if v != a]
        self.register_buffer("order", torch.tensor(order), persistent=False)

    def forward(self, probabilities: Tensor) -> Tensor:
        padding = self.weight.shape[-1] // 2
        seen = F.conv2d(probabilities, F.softplus(self.weight), None, padding=padding, groups=self.joints)
        messages = (seen + F.softplus(self.bias)[:, None, None]).log()
        return messages.index_select(1, self.order).unflatten(1, (self.joints, self.others)).sum(2)


class HeatmapRegression(nn.Module):
    """Banks, joined by 1x1 convolutions, and the spatial model behind them.

    (N, 3, H, W) -> maps (N, K, ceil(H / 4), ceil(W / 4)); with a spatial model a mapping: `out`, and the maps before
    it as `stage1`, which are supervised too.
    """

    def __init__(self, banks: int, joints: int, width: float, norm: Norm, loss: HeatmapLoss) -> None:
        super().__init__()
        self.banks = nn.ModuleList(Bank(width, norm) for _ in range(banks))
        joined = scaled(JOINED, width)
        self.join = nn.Sequential(OrderedDict(convolution("conv5", self.banks[0].channels, joined, 1, norm=norm)))
        self.scores = nn.Conv2d(joined, joints, 1)
        self.spatial: SpatialModel | None = None
        he_initialise(self)
        nn.init.normal_(self.scores.weight, std=0.01)
        self.loss = loss_of(loss, STRIDE)

    def forward(self, image: Tensor) -> Tensor | dict[str, Tensor]:
        heatmaps = self._maps(image)
        if self.spatial is None:
            return heatmaps
        return staged([heatmaps, self._agreed(heatmaps, self.spatial)])

    def _maps(self, image: Tensor) -> Tensor:
        features = self.banks[0](image)
        for level, bank in enumerate(self.banks[1:], start=1):
            small = F.avg_pool2d(image, 2**level, ceil_mode=True, count_include_pad=False)
            coarse = F.interpolate(bank(small), scale_factor=2**level, mode="nearest")
            features = features + coarse[..., : features.shape[-2], : features.shape[-1]]
        return self.scores(self.join(features))

    def _agreed(self, heatmaps: Tensor, spatial: SpatialModel) -> Tensor:
        if self.loss is None:
            return heatmaps + spatial(heatmaps.flatten(2).softmax(-1).view_as(heatmaps))
        heights = F.relu(heatmaps)
        return heights * spatial(heights).exp()


@architecture(
    task="pose",
    source=PAPER,
    small={"width": 0.125, "joints": 4},
)
def heatmap_regression(
    *,
    banks: Literal[1, 2, 3] = 3,
    spatial: bool = False,
    spatial_kernel: Annotated[int, Bounds(3, 129)] = 45,
    width: Annotated[float, Bounds(0.03125, 2)] = 1.0,
    norm: Literal["none", "batch"] = "none",
    loss: Literal["cross_entropy", "mse"] = "mse",
    joints: Annotated[int, Bounds(2, 64)] = 14,
) -> nn.Module:
    """Tompson's part detector: banks at one, two or three resolutions; with or without the spatial model.

    - `banks`: 1 reads the image, 2 also half its size, 3 also a quarter. The banks' features are upsampled by
      repetition and summed.
    - `spatial`: the model of section 3.2, trained together with the detector, whose own maps are supervised too.
      `spatial_kernel` is the side, odd, of its maps in cells (the paper's are as large as twice the heatmap).
    - `width` scales the channels: 128 in the 5x5 convolutions, 512 behind the 9x9, 256 behind the 1x1, as we read
      the paper's figures, which do not label every layer. The local contrast normalisation of the input is left out.
    - `norm`: batch puts a batch norm behind every convolution, so that it trains from scratch in little time.
    - `loss`: the paper's squared error against Gaussians, or cross-entropy over cells.

    Inputs (N, 3, H, W), outputs maps of stride 4, (N, joints, ceil(H / 4), ceil(W / 4)); with `spatial` a
    mapping of `out` and `stage1`.
    """
    network = HeatmapRegression(banks, joints, width, norm, loss)
    if spatial:
        network.spatial = SpatialModel(joints, spatial_kernel // 2 * 2 + 1)
    return network


figure_1 = Published("Tompson et al. 2014, Fig. 1 (recalled): windows of 64 px, and of 128 px at half their size")
counted = Published("counted from the layers; the paper prints no such number")
tompson = Published("Tompson et al. 2014 (recalled): maps of 90 x 60 for images of 360 x 240")
facts(
    heatmap_regression,
    figure_1("receptive_field", 64, banks=1),
    figure_1("receptive_field", 128, banks=2),
    counted("receptive_field", 256, banks=3),
    tompson("output_stride", 4),
)
