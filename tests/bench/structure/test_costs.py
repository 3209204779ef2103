"""Multiply-accumulates and operations against counts by hand, and against torchvision's published ones."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
import torchvision
from structure_cases import MaskedConv, plain
from torch import nn
from torchvision.models import get_model_builder, get_model_weights

from bench.structure.conventions import hrnet_gflops, torchvision_gflops, twice_macs
from bench.structure.costs import costs
from bench.structure.tape import record

SHAPE = (1, 4, 8, 10)
COUNTS = [
    # 6 x (8*10) outputs x 4 channels x 9 taps = 17280; plus 480 biases
    ("conv", nn.Conv2d(4, 6, 3, padding=1), 17280, 2 * 17280 + 480),
    # 6 x (8*10) x (4/2) x 9 = 8640
    ("grouped", nn.Conv2d(4, 6, 3, padding=1, groups=2, bias=False), 8640, 17280),
    # outputs (8-5+1)/2 -> 2 x (10-5+1)/2 -> 3: 6 x 6 x 4 x 9 = 1296 (dilated 3x3 spans 5)
    ("strided dilated", nn.Conv2d(4, 6, 3, 2, dilation=2, bias=False), 1296, 2592),
    # every one of 4 x 80 inputs meets 6 x 16 weights: 30720; outputs 6 x (7*2+4) x (9*2+4) = 2376 biases
    ("transposed", nn.ConvTranspose2d(4, 6, 4, 2), 30720, 2 * 30720 + 2376),
    # 4 x 80 inputs x (6/2) x 16 = 15360
    ("transposed grouped", nn.ConvTranspose2d(4, 6, 4, 2, groups=2, bias=False), 15360, 30720),
    # rows 4*8 = 32, each 10 x 5 = 50: 1600; 160 biases
    ("linear", nn.Linear(10, 5), 1600, 3200 + 160),
    # batch 4: (8 x 10) by (10 x 8): 4 * 8 * 10 * 8 = 2560
    ("matmul", plain(lambda x: x @ x.transpose(-1, -2)), 2560, 5120),
    # n c h w, n c g w -> n h c g: batched over c: 8 * 3 * 10 * 4 = 960
    ("einsum", plain(lambda x: torch.einsum("nchw,ncgw->nhcg", x, x[:, :, :3])), 960, 1920),
    # scores 4 * 8 * 8 * 10 = 2560 and values again 2560; both operands scaled by d**-1/4: 2 * 320,
    # softmax 5 * 4 * 64 = 1280
    ("attention", plain(lambda x: F.scaled_dot_product_attention(x, x, x)), 5120, 10240 + 640 + 1280),
    ("batch norm", nn.BatchNorm2d(4), 0, 2 * 320),
    ("layer norm", nn.LayerNorm(10), 0, 8 * 320),
    ("group norm", nn.GroupNorm(2, 4, affine=False), 0, 6 * 320),
    ("relu", nn.ReLU(), 0, 320),
    ("sigmoid", nn.Sigmoid(), 0, 4 * 320),
    ("gelu", nn.GELU(), 0, 5 * 320),
    ("softmax", nn.Softmax(1), 0, 5 * 320),
    # 4 x 4 x 5 windows of 4: 3 comparisons each; for the mean 3 additions and a division
    ("max pool", nn.MaxPool2d(2), 0, 80 * 3),
    ("avg pool", nn.AvgPool2d(2), 0, 80 * 4),
    # bins along 8 into 3: [0,3) [2,6) [5,8) = 3 + 4 + 3 = 10; along 10 into 4: [0,3) [2,5) [5,8) [7,10) = 12
    ("adaptive avg", nn.AdaptiveAvgPool2d((3, 4)), 0, 4 * 10 * 12),
    ("global avg", nn.AdaptiveAvgPool2d(1), 0, 320),
    # 4 x 16 x 20 outputs of 4 taps: 4 products, 3 sums
    ("bilinear", nn.Upsample(scale_factor=2, mode="bilinear"), 0, 1280 * 7),
    ("bicubic", nn.Upsample(scale_factor=2, mode="bicubic"), 0, 1280 * 31),
    ("nearest", nn.Upsample(scale_factor=2), 0, 0),
    ("shuffle", nn.PixelShuffle(2), 0, 0),
    ("pad", nn.ReflectionPad2d(1), 0, 0),
    ("add and scale", plain(lambda x: (x + x) * 0.5), 0, 640),
    ("unpool", plain(lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2)), 0, 80 * 3),
    # 4 * 8 rows of 10 real points: 2.5 * 10 * log2(10) = 83.05 each
    ("fft", plain(lambda x: torch.fft.rfft(x).real), 0, 2658),
]


@pytest.mark.parametrize(("name", "model", "macs", "flops"), COUNTS, ids=[c[0] for c in COUNTS])
def test_hand_counts(name: str, model: nn.Module, macs: int, flops: int) -> None:
    counts = costs(record(model, SHAPE))
    assert counts.uncounted == ()
    assert counts.coverage == 1.0
    assert (counts.macs, counts.flops) == (macs, flops)


def test_a_masked_convolution_has_a_live_count() -> None:
    counts = costs(record(MaskedConv(4, 6, 3, "A", "buffer"), SHAPE))
    assert counts.macs == 17280
    assert counts.live == 17280 * 4 // 9  # mask A keeps 3 + 1 of 9 taps
    dense = costs(record(nn.Conv2d(4, 6, 3, padding=1), SHAPE))
    assert dense.live == dense.macs


def test_batch_multiplies_counts_and_modules_add_up() -> None:
    model = torchvision.models.squeezenet1_1()
    one, three = (costs(record(model, (n, 3, 64, 64))) for n in (1, 3))
    assert three.macs == 3 * one.macs
    assert sum(one.by_module.values()) == one.macs
    assert set(one.by_module) == {n for n, m in model.named_modules() if isinstance(m, nn.Conv2d)}


def test_an_operator_without_a_rule_lowers_the_coverage() -> None:
    class Odd(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cdist(x, x).relu()

    counts = costs(record(Odd(), SHAPE))
    assert counts.uncounted == ("_cdist_forward",)
    assert counts.coverage == 0.5


def test_conventions() -> None:
    tape = record(nn.Conv2d(4, 6, 3, padding=1), SHAPE)
    assert twice_macs(tape) == 34560
    assert torchvision_gflops(tape) == 17280 / 1e9
    assert hrnet_gflops(tape) == 17280 / 2**30


PUBLISHED = (
    "alexnet",
    "vgg11",
    "resnet18",
    "resnet50",
    "resnext50_32x4d",
    "densenet121",
    "inception_v3",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mnasnet0_5",
    "shufflenet_v2_x1_0",
    "squeezenet1_0",
    "efficientnet_b0",
    "wide_resnet50_2",
    "convnext_tiny",
    "swin_t",
    "swin_v2_t",
    "vit_b_16",
    "fcn_resnet50",
    "deeplabv3_resnet50",
    "deeplabv3_mobilenet_v3_large",
    "lraspp_mobilenet_v3_large",
)


@pytest.mark.parametrize("name", PUBLISHED)
def test_torchvisions_figures_to_the_printed_digit(name: str) -> None:
    weights = get_model_weights(name).DEFAULT if name != "vit_b_16" else next(iter(get_model_weights(name)))
    if name in ("resnet50", "resnext50_32x4d", "mobilenet_v2", "wide_resnet50_2"):
        weights = get_model_weights(name).IMAGENET1K_V1
    dense = name.startswith(("fcn", "deeplab", "lraspp"))
    options = {"weights_backbone": None} if dense else {}
    if name.startswith(("fcn", "deeplab")):
        options["aux_loss"] = True
    if name == "inception_v3":
        options["init_weights"] = False
    with torch.device("meta"):
        model = get_model_builder(name)(**options)
    side = 520 if dense else weights.transforms().crop_size[0]
    published = weights.meta["_ops"]
    assert round(torchvision_gflops(record(model, (1, 3, side, side))), 3) == published
