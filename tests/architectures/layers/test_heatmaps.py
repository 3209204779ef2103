from __future__ import annotations

import math

import pytest
import torch

from architectures.layers.heatmaps import SquaredError, gaussians, loss_of, staged
from bench.tasks.pose import decoded, softmax


def targets(joints: torch.Tensor, size: tuple[int, int] = (64, 48)) -> dict[str, torch.Tensor]:
    count = joints.shape[:2]
    sides = torch.tensor([size[1], size[0]], dtype=torch.float32)
    return {"joints": joints, "visible": torch.full(count, 2, dtype=torch.uint8), "size": sides.expand(count[0], 2)}


@pytest.mark.parametrize("stride", [1, 4, 8])
def test_targets_lie_where_the_task_decodes_them(stride: int) -> None:
    joints = stride * (6 + 4 * torch.rand(3, 5, 2, generator=torch.Generator().manual_seed(0)))
    maps = gaussians(joints, (16, 17), stride, 1.5)
    assert maps.shape == (3, 5, 16, 17)
    meaning = SquaredError(stride).probabilities
    places = decoded(maps, (16 * stride, 17 * stride), meaning)
    assert (places["dark"] - joints).abs().max() < 0.02 * stride
    assert (places["argmax"] - joints).abs().max() <= stride / 2 + 1e-4


def test_an_empty_map_costs_one_and_a_perfect_one_nothing() -> None:
    told = targets(torch.tensor([[[24.0, 30.0], [20.0, 33.0]]]))
    loss = SquaredError(stride=2, sigma=2.0)
    truth = gaussians(told["joints"], (32, 24), 2, 2.0)
    assert loss(truth, told).item() == 0
    assert loss(torch.zeros_like(truth), told).item() == pytest.approx(1, rel=1e-3)
    both = loss({"out": truth, "stage1": torch.zeros_like(truth)}, told)
    assert both.item() == pytest.approx(1, rel=1e-3)


def test_only_annotated_joints_inside_the_image_count() -> None:
    told = targets(torch.tensor([[[24.0, 30.0], [200.0, 33.0], [20.0, 20.0]]]))
    told["visible"][0, 2] = 0
    maps = torch.zeros(1, 3, 16, 12, requires_grad=True)
    SquaredError(4)(maps, told).backward()
    assert maps.grad is not None
    assert maps.grad[0, 0].any()
    assert not maps.grad[0, 1:].any()
    told["visible"][:] = 0
    assert SquaredError(4)(maps, told).item() == 0


def test_maps_of_heights_are_shares() -> None:
    maps = torch.randn(2, 3, 4, 5)
    shares = SquaredError(1).probabilities(maps)
    assert torch.allclose(shares.sum((-2, -1)), torch.ones(2, 3))
    assert (shares >= 0).all()
    assert torch.equal(shares.flatten(2).argmax(-1), maps.flatten(2).argmax(-1))
    assert math.isclose(softmax(maps).sum().item(), 6, rel_tol=1e-5)


def test_cross_entropy_is_left_to_the_task() -> None:
    assert loss_of("cross_entropy", 4) is None
    assert loss_of("mse", 4, 1.5).sigma.item() == 1.5


def test_the_last_stage_stands_first() -> None:
    maps = [torch.zeros(1), torch.ones(1), torch.full((1,), 2.0)]
    assert list(staged(maps)) == ["out", "stage1", "stage2"]
    assert staged(maps)["out"] is maps[2]
    assert list(staged(maps, every=False)) == ["out"]
