from __future__ import annotations

import pytest
import torch
from families import people
from torch.nn import functional as F

from architectures.heatmap_regression import SpatialModel, heatmap_regression
from bench.metrics.receptive_field import receptive_field
from bench.tasks.pose import Pose

SMALL = {"width": 0.0625, "norm": "batch", "joints": 4}


@pytest.mark.parametrize(("banks", "size"), [(1, 64), (2, 128)])
def test_each_bank_doubles_the_field(banks: int, size: int) -> None:
    assert receptive_field(heatmap_regression(banks=banks, **SMALL).eval(), (3, 150, 150)).size == size


def test_the_spatial_model_is_the_paper_s_sum_over_the_other_joints() -> None:
    torch.manual_seed(0)
    model = SpatialModel(3, 5)
    torch.nn.init.normal_(model.weight)
    torch.nn.init.normal_(model.bias)
    p = torch.rand(2, 3, 7, 6)
    found = model(p)
    for a in range(3):
        total = torch.zeros(2, 7, 6)
        for v in range(3):
            if v != a:
                k = v * 2 + (a if a < v else a - 1)
                kernel = F.softplus(model.weight[k : k + 1])
                message = F.conv2d(p[:, v : v + 1], kernel, padding=2)[:, 0] + F.softplus(model.bias[k])
                total += message.log()
        assert torch.allclose(found[:, a], total, atol=1e-5)


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_the_spatial_model_lets_one_joint_find_another(loss: str) -> None:
    """A joint whose own map says nothing is found by its offset from one that is seen."""
    torch.manual_seed(0)
    network = heatmap_regression(banks=1, spatial=True, spatial_kernel=9, loss=loss, **SMALL).eval()
    assert network.spatial is not None
    with torch.no_grad():
        network.spatial.weight.fill_(-20.0)
        message = 0 * 3 + 1 - 1  # from joint 0 to joint 1
        network.spatial.weight[message, 0, 4 + 2, 4 - 3] = 5.0  # convolution: read 2 below and 3 to the left
        network.spatial.bias.fill_(-3.0)
        maps = torch.full((1, 4, 12, 12), 0.1)
        maps[0, 0, 7, 5] = 9.0
        agreed = network._agreed(maps, network.spatial)
    assert divmod(int(agreed[0, 1].argmax()), 12) == (5, 8)
    assert divmod(int(agreed[0, 0].argmax()), 12) == (7, 5)


def test_both_stages_are_supervised() -> None:
    network = heatmap_regression(banks=1, spatial=True, spatial_kernel=9, loss="cross_entropy", **SMALL)
    outputs = network(torch.randn(2, 3, 32, 32))
    assert list(outputs) == ["out", "stage1"]
    told = people((32, 32), {"joints": 4})
    alone = Pose.loss(outputs["out"], told) + Pose.loss(outputs["stage1"], told)
    assert Pose.loss(outputs, told).item() == pytest.approx(alone.item())


def test_coarse_banks_repeat_their_cells() -> None:
    """What a coarse bank adds is the same in the cells that its own cell stands for."""
    torch.manual_seed(0)
    network = heatmap_regression(banks=2, **SMALL).eval()
    with torch.no_grad():
        for parameter in network.banks[0].parameters():
            parameter.zero_()
        maps = network(torch.randn(1, 3, 64, 72))
    assert torch.equal(maps[..., 0::2, 0::2], maps[..., 1::2, 1::2])
    assert not torch.equal(maps[..., 0:1, 0:-2:2], maps[..., 0:1, 2::2])
