"""The receptive field as people ask for it: sizes that papers print, boxes, phases, skips, errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from bench.metrics.receptive_field import receptive_field
from bench.structure.tape import StructureError

# torchvision's VGG-16 up to pool5: each 3x3 convolution adds 2 x (stride so far), each pool 1 x.
# 1 + (2+2) + 1 + 2(2+2) + 2 + 4(2+2+2) + 4 + 8(2+2+2) + 8 + 16(2+2+2) + 16 = 212
VGG = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M")


def vgg_features(width: int = 16) -> nn.Sequential:
    layers: list[nn.Module] = []
    channels = 3
    for entry in VGG:
        if entry == "M":
            layers.append(nn.MaxPool2d(2, 2))
        else:
            layers += [nn.Conv2d(channels, int(entry) // width, 3, padding=1), nn.ReLU(inplace=True)]
            channels = int(entry) // width
    return nn.Sequential(*layers)


class TinyFCN(nn.Module):
    """FCN-32s: VGG-16 padded by 100, 7x7 convolution, 64x64 deconvolution of stride 32, cropped."""

    receptive_field_taps = {"score": "score"}

    def __init__(self) -> None:
        super().__init__()
        self.features = vgg_features()
        self.features[0].padding = (100, 100)
        self.score = nn.Conv2d(32, 2, 7)
        self.up = nn.ConvTranspose2d(2, 2, 64, stride=32, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h, w = x.shape[-2:]
        return self.up(self.score(self.features(x)))[..., 19 : 19 + h, 19 : 19 + w]


def test_vgg_features_see_212_pixels() -> None:
    field = receptive_field(vgg_features(), (3, 224, 224), position=(3, 3))
    assert field.size == 212
    # Position 3 starts at 3 * 32 - 90 = 6, where 90 is half of what 212 exceeds the stride by.
    assert field.box == ((6, 218), (6, 218))
    assert field.density == 1.0
    assert field.mask.shape == (224, 224)
    assert field.mask.sum() == 212 * 212


def test_fcn_sees_404_before_and_436_after_upsampling() -> None:
    field = receptive_field(TinyFCN(), (3, 160, 160))
    assert field.paths == {"score": 404}  # 212 + 6 * 32
    assert field.size == 404
    # Every output pixel mixes two neighbouring scores, 32 px apart.
    assert field.extent == (436, 436)


def test_a_decoder_has_an_extent_per_phase() -> None:
    # Stride 2 down by a 3x3 convolution, nearest up, 3x3 convolution: output o reads the scores of
    # o-1..o+1, which are 2 scores at every phase: 3 + 2 = 5 pixels.
    even = nn.Sequential(nn.Conv2d(1, 1, 3, 2, 1), nn.Upsample(scale_factor=2), nn.Conv2d(1, 1, 3, padding=1))
    assert receptive_field(even, (1, 32, 32)).extent == (5, 5)
    # A 5-wide filter reads o-2..o+2: 3 scores when o is even (o/2-1..o/2+1), else 3 as well; a 4-wide
    # one, o-1..o+2, reads 3 when o is even (7 px) and 2 when it is odd (5 px).
    odd = nn.Sequential(
        nn.Conv2d(1, 1, 3, 2, 1), nn.Upsample(scale_factor=2), nn.ZeroPad2d((1, 2, 1, 2)), nn.Conv2d(1, 1, 4)
    )
    phases = receptive_field(odd, (1, 32, 32)).phases
    assert phases is not None
    assert (phases.minimum, phases.maximum) == (5, 7)
    assert [m.tolist() for m in phases.map] == [[7, 5], [7, 5]]


def test_gridding_shows_in_the_density() -> None:
    # Three 3x3 at dilation 2 reach 13 px of which every other one along each axis: 7 * 7 of 13 * 13.
    net = nn.Sequential(*(nn.Conv2d(1, 1, 3, padding=2, dilation=2) for _ in range(3)))
    field = receptive_field(net, (1, 33, 33), position=(16, 16))
    assert field.size == 13
    assert field.density == pytest.approx(49 / 169)
    assert not field.mask[:, 15].any()


def test_zero_padding_reads_nothing() -> None:
    net = nn.Sequential(nn.ZeroPad2d(4), nn.Conv2d(1, 1, 1))
    field = receptive_field(net, (1, 8, 8), position=(0, 0))
    assert field.box is None
    assert field.density == 0
    assert not field.mask.any()


def test_global_edges_and_the_field_without_them() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.Conv2d(4, 1, 3, padding=1))
    field = receptive_field(net, (1, 16, 16), position=(8, 8))
    assert field.mask.all()
    assert field.size is None
    assert field.local.size == 5
    assert field.local.box == ((6, 11), (6, 11))
    assert receptive_field(net, (1, 16, 16), cut=("normalisation",)).size == 5


def test_between_two_layers() -> None:
    net = vgg_features()
    field = receptive_field(net, (3, 64, 64), source="4", sink="9", position=(8, 8))
    # pool1's map (32) to pool2's (16): two 3x3 convolutions and a pool: 1 + 1 + 2 + 2 = 6.
    assert field.mask.shape == (32, 32)
    assert field.size == 6


def test_several_outputs_by_place_and_by_name() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.near, self.far = nn.Conv2d(1, 1, 3, padding=1), nn.Conv2d(1, 1, 9, padding=4)

        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"near": self.near(x), "far": self.far(x)}

    net = Two()
    assert receptive_field(net, (1, 32, 32)).size == 3
    assert receptive_field(net, (1, 32, 32), output=1).size == 9
    assert receptive_field(net, (1, 32, 32), output="far").size == 9
    with pytest.raises(StructureError, match="outputs: near, far"):
        receptive_field(net, (1, 32, 32), output="out")


def test_a_change_of_the_network_is_noticed() -> None:
    net = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1))
    assert receptive_field(net, (1, 16, 16)).size == 3
    net.append(nn.Conv2d(1, 1, 3, padding=1))
    assert receptive_field(net, (1, 16, 16)).size == 5
    net[0].dilation, net[0].padding = (2, 2), (2, 2)
    assert receptive_field(net, (1, 16, 16)).size == 7


def test_a_mask_written_past_the_version_counter_is_seen() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 3, padding=1)
            self.register_buffer("mask", torch.tensor([[0.0, 1.0, 0.0]] * 3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.conv2d(x, self.conv.weight * self.mask, padding=1)

    net = Masked()
    assert receptive_field(net, (1, 16, 16)).size == (3, 1)
    net.mask.data[0] = 1
    assert receptive_field(net, (1, 16, 16)).size == 3


def test_positions_are_checked() -> None:
    net = nn.Conv2d(1, 1, 3, padding=1)
    assert np.array_equal(
        receptive_field(net, (1, 8, 8), position=(-1, -1)).mask,
        receptive_field(net, (1, 8, 8), position=(7, 7)).mask,
    )
    with pytest.raises(StructureError, match="outside"):
        receptive_field(net, (1, 8, 8), position=(8, 0))
    with pytest.raises(StructureError, match="kind of edge"):
        receptive_field(net, (1, 8, 8), cut=("norm",))


def test_control_flow_on_data_is_refused() -> None:
    class Moody(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.mean() > 0 else -x

    with pytest.raises(StructureError, match="asks for data"):
        receptive_field(Moody(), (1, 8, 8))
