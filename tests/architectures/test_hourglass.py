"""Stacked hourglasses against hg.lua: counts by stack and module, fields by hand, odd sides, supervision."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from architectures.hourglass import doubled, hourglass, hourglass_strided
from bench.metrics.receptive_field import receptive_field

NARROW: dict[str, Any] = {"width": 0.05, "joints": 3}


def on_meta(build: Any, **axes: Any) -> nn.Module:
    with torch.device("meta"):
        return build(**axes).eval()


def params(build: Any = hourglass, **axes: Any) -> int:
    return sum(p.numel() for p in on_meta(build, **axes).parameters())


def image(*size: int) -> Tensor:
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))


# --- counts


def residual(inputs: int, outputs: int) -> int:
    """hg.lua's: three norms, 1x1, 3x3, 1x1 with biases, 1x1 where the channels change."""
    half = outputs // 2
    norms = 2 * (inputs + half + half)
    convolutions = (inputs + 1) * half + (9 * half + 1) * half + (half + 1) * outputs
    return norms + convolutions + (inputs + 1) * outputs * (inputs != outputs)


R = residual(256, 256)
STEM = (49 * 3 + 1) * 64 + 2 * 64 + residual(64, 128) + residual(128, 128) + residual(128, 256)
PREDICTION = (256 + 1) * 256 + 2 * 256 + (256 + 1) * 16
BACK = (256 + 1) * 256 + (16 + 1) * 256


@pytest.mark.parametrize(("stacks", "modules"), [(1, 1), (3, 1), (5, 1), (8, 1), (2, 4), (4, 2), (1, 8), (2, 2)])
def test_parameters_follow_from_hg_lua(stacks: int, modules: int) -> None:
    """Thirteen groups of residuals in an hourglass of depth 4, one behind it."""
    by_hand = STEM + stacks * (14 * modules * R + PREDICTION) + (stacks - 1) * BACK
    assert params(stacks=stacks, modules=modules) == by_hand


def test_skips_are_four_groups_of_residuals_in_each_stack() -> None:
    assert params(stacks=2, modules=2) - params(stacks=2, modules=2, skips=False) == 2 * 4 * 2 * R


def test_pytorch_pose_widens_the_second_residual() -> None:
    wider = residual(128, 256) + residual(256, 256) - residual(128, 128) - residual(128, 256)
    assert params(layout="pytorch-pose") - params() == wider


def basic(inputs: int, outputs: int, stride: int = 1) -> int:
    projected = inputs * outputs + 2 * outputs if stride > 1 or inputs != outputs else 0
    return 9 * (inputs * outputs + outputs * outputs) + 4 * outputs + projected


@pytest.mark.parametrize("stacks", [1, 2, 3])
def test_parameters_of_cornernet_s_follow_from_its_levels(stacks: int) -> None:
    widths, blocks = (256, 256, 384, 384, 384, 512), (2, 2, 2, 2, 2, 4)
    one = 0
    for own, below in pairwise(widths):
        one += 2 * basic(own, own)  # beside
        one += basic(own, below, 2) + basic(below, below)  # down
        one += basic(below, below) + basic(below, own)  # up
    one += blocks[-1] * basic(512, 512)
    one += 9 * 256 * 256 + 2 * 256 + (256 + 1) * 17
    between = 2 * (256 * 256 + 2 * 256) + basic(256, 256)
    stem = 49 * 3 * 128 + 2 * 128 + basic(128, 256, 2)
    assert params(hourglass_strided, stacks=stacks) == stem + stacks * one + (stacks - 1) * between


# --- structure


@pytest.mark.parametrize(("depth", "field"), [(1, 89), (2, 185), (4, 713)])
def test_the_field_of_a_stack_follows_from_its_deepest_path(depth: int, field: int) -> None:
    """From the heatmap back to the image: cells that are read, at each size; the best of the doublings' phases."""
    cells = 3  # the residual before the heatmap
    for _ in range(depth - 1):
        cells = cells // 2 + 1 + 2  # doubled, and the residual before
    cells = cells // 2 + 1 + 3 * 2  # the three residuals at the deepest size
    for _ in range(depth - 1):
        cells = 2 * cells + 2  # pooled, and the residual before
    cells = 2 * cells + 2 * 2  # the two behind the first pooling
    size = 2 * (2 * cells + 2 - 1) + 7
    net = hourglass(stacks=2, depth=depth, **NARROW).eval()
    assert receptive_field(net, (3, 64, 64), sink=net.receptive_field_layers["stage1"]).size == size == field


@pytest.mark.parametrize("build", [hourglass, hourglass_strided])
def test_all_stages_are_told_and_the_last_stands_first(build: Any) -> None:
    net = build(stacks=3, supervision=False, **NARROW)
    outputs = net.eval()(image(65, 99))
    # Of the strided one only what is taught has heatmaps: they are not fed back.
    assert list(outputs) == (["out", "stage1", "stage2"] if build is hourglass else ["out"])
    assert {tuple(maps.shape) for maps in outputs.values()} == {(2, 3, 17, 25)}
    assert list(net.train()(image(65, 99))) == ["out"]


@pytest.mark.parametrize("build", [hourglass, hourglass_strided])
def test_a_stack_more_leaves_the_earlier_stacks_as_they_are(build: Any) -> None:
    longer, shorter = build(stacks=2, **NARROW).eval(), build(stacks=1, **NARROW).eval()
    shorter.load_state_dict({n: v for n, v in longer.state_dict().items() if n in shorter.state_dict()})
    x = image(64, 72)
    assert torch.equal(shorter(x)["out"], longer(x)["stage1"])


def test_cells_are_doubled_where_they_stand() -> None:
    x = torch.arange(6.0).view(1, 1, 2, 3)
    expected = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.equal(doubled(x, torch.zeros(1, 1, 3, 5)), expected[..., :3, :5])
