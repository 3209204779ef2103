"""Our U-Net, DeepLab v3 and PSPNet beside segmentation_models.pytorch's and torchvision's of the same size.

Both networks of a pair take turns in one process, on one thread, forward and a training step each, and before every
round both are copied, so that both draw new memory layouts. Printed: the least CPU times over all rounds, the
multiply-adds of both, and the ratio of times for equal multiply-adds, ours to theirs. Encoders are the same ResNets;
what follows them is each family's own: smp's U-Net interpolates where the paper has transposed convolutions, and its
decoder is narrowed until both have the same multiply-adds; its PSPNet has a 1x1 where the paper has a 3x3 convolution
of 4096 channels, so ours counts 1.19 times the multiply-adds, and images have the paper's size, beside which reading
its 19 M weights is little. LIBRARY_ROUNDS sets how many rounds.
"""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from architectures.deeplabv3 import deeplabv3
from architectures.pspnet import pspnet
from architectures.unet import unet
from bench.hardware.stopwatch import thread_count
from bench.structure.costs import costs
from bench.structure.tape import record
from bench.tasks.segmentation import scores_of

smp = pytest.importorskip("segmentation_models_pytorch", reason="the other side: pip install fovbench[perf]")
ROUNDS = int(os.environ.get("LIBRARY_ROUNDS", "8"))
CLASSES = 21


@dataclass(frozen=True)
class Pair:
    """Builders of networks of the same size: ours, and a library's; square images of `side` px, two in a batch."""

    side: int
    ours: Callable[[], nn.Module]
    theirs: Callable[[], nn.Module]


def _torchvision() -> nn.Module:
    from torchvision.models.segmentation import deeplabv3_resnet50

    return deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=CLASSES, aux_loss=None)


PAIRS = {
    "U-Net, ResNet-18, against smp": Pair(
        128,
        lambda: unet(backbone="timm:resnet18", depth=5, width=0.25, norm="batch", dropout=0.0, classes=CLASSES),
        lambda: smp.Unet("resnet18", encoder_weights=None, decoder_channels=(224, 112, 48, 24, 16), classes=CLASSES),
    ),
    "DeepLab v3, ResNet-50, stride 8, against torchvision": Pair(
        128,
        lambda: deeplabv3(
            backbone="resnet50", output_stride=8, stem="7x7", layout="torchvision", multi_grid=(1,), classes=CLASSES
        ),
        _torchvision,
    ),
    "PSPNet, ResNet-50, stride 32, against smp": Pair(
        480,
        lambda: pspnet(
            backbone="resnet50", output_stride=32, stem="7x7", layout="torchvision", auxiliary=0.0, classes=CLASSES
        ),
        lambda: smp.PSPNet("resnet50", encoder_weights=None, encoder_depth=5, classes=CLASSES),
    ),
}


def macs(net: nn.Module, side: int) -> int:
    return costs(record(net.eval(), (1, 3, side, side))).macs


def forward(net: nn.Module, images: torch.Tensor) -> None:
    with torch.no_grad():
        net.eval()(images)


def training_step(net: nn.Module, images: torch.Tensor) -> None:
    net.train()
    scores_of(net(images)).square().mean().backward()
    net.zero_grad(set_to_none=True)


def laps(nets: list[nn.Module], run: Callable[[nn.Module, torch.Tensor], None], side: int) -> Iterator[list[float]]:
    """CPU seconds of one call of each, in turn, on fresh copies."""
    for number in range(ROUNDS + 1):
        copies, images = [copy.deepcopy(net) for net in nets], torch.randn(2, 3, side, side)
        seconds = []
        for net in copies if number % 2 else copies[::-1]:
            run(net, images)
            began = time.thread_time()
            run(net, images)
            seconds.append(time.thread_time() - began)
        yield seconds if number % 2 else seconds[::-1]


@pytest.mark.parametrize("name", PAIRS)
def test_ours_against_theirs(name: str) -> None:
    torch.manual_seed(0)
    pair = PAIRS[name]
    nets = [pair.ours(), pair.theirs()]
    sizes = [macs(copy.deepcopy(net), pair.side) for net in nets]
    with thread_count(1):
        for kind, run in (("forward", forward), ("training step", training_step)):
            ours, theirs = (min(column) for column in zip(*laps(nets, run, pair.side), strict=True))
            line = f"{1e3 * ours:.1f} against {1e3 * theirs:.1f} ms, {sizes[0] / 1e9:.3f} against {sizes[1] / 1e9:.3f} GMAC"
            print(f"\n{name}: {kind} {line}: ratio {ours / theirs / (sizes[0] / sizes[1]):.3f}")
    assert sizes[0] / sizes[1] == pytest.approx(1, abs=0.2)
