from __future__ import annotations

import pytest
import torch
from families import people
from torch import nn

from architectures.deeppose import DeepPose, SquaredDistance, alexnet_cells, crops, deeppose
from bench.registry import RegistryError

SMALL = {"width": 0.0625, "side": 64, "crop": 64, "joints": 4}


def test_the_paper_s_maps() -> None:
    assert alexnet_cells(220) == 6
    network = deeppose(width=0.125).stages[0]
    sizes = []
    x = torch.zeros(1, 3, 220, 220)
    for name, layer in network.named_children():
        x = layer(x)
        if name.startswith("conv") and "_" not in name:
            sizes.append(x.shape[-1])
    assert sizes == [55, 27, 13, 13, 13]


def test_crops_show_what_lies_about_their_centres() -> None:
    height, width = 40, 60
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(60.0), indexing="ij")
    image = torch.stack([x, y])[None]
    centres = torch.tensor([[[0.2, -0.1], [-0.3, 0.25]]])
    half = torch.tensor([[0.4, 0.5]])
    cut = crops(image, centres, half, 8)
    assert cut.shape == (2, 2, 8, 8)
    for joint in range(2):
        cx, cy = ((centres[0, joint] + 1) * torch.tensor([width, height]) - 1) / 2
        assert cut[joint, 0].mean().item() == pytest.approx(cx.item(), abs=1e-3)
        assert cut[joint, 1].mean().item() == pytest.approx(cy.item(), abs=1e-3)
        step = (cut[joint, 0, 0, 1] - cut[joint, 0, 0, 0]).item()
        assert step == pytest.approx(0.4 * width / 8, abs=1e-3)
    outside = crops(torch.ones(1, 1, 8, 8), torch.tensor([[[5.0, 5.0]]]), half, 4)
    assert not outside.any()


class Told(nn.Module):
    """A stage that always says the same of each joint."""

    def __init__(self, said: torch.Tensor) -> None:
        super().__init__()
        self.said = said

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.said.flatten().expand(len(image), -1)


def test_a_stage_adds_each_joint_s_own_displacement_in_sides_of_its_crop() -> None:
    first, then = torch.tensor([[-0.5, 0.0], [0.5, 0.0]]), torch.tensor([[0.1, 0.2], [0.3, -0.4]])
    network = DeepPose([Told(first), Told(then)], None, 16, (0, 1), sigma=1.5)
    outputs = network(torch.zeros(2, 3, 32, 64))
    # 1.0 in x is 32 px; 1.5 times that is 48 px, in half sides of 64 px 0.75, of 32 px 1.5
    half = torch.tensor([48 / 64, 48 / 32])
    assert torch.allclose(outputs["stage1"][0], first)
    assert torch.allclose(outputs["out"][1], first + half * then)


def test_the_least_crop_is_square_too() -> None:
    first, then = torch.zeros(2, 2), torch.ones(2, 2)
    network = DeepPose([Told(first), Told(then)], None, 16, (0, 1), sigma=1.5)
    moved = network(torch.zeros(1, 3, 64, 256))["out"][0, 0] * torch.tensor([256, 64]) / 2
    assert moved.tolist() == [4, 4]  # half of 1/8 of 64 px


def test_without_a_torso_the_extent_of_the_pose_counts() -> None:
    first = torch.tensor([[-0.5, 0.0], [0.5, 0.0], [0.0, 0.6]])
    network = DeepPose([Told(first), Told(torch.ones(3, 2))], None, 16, (), sigma=2.0)
    outputs = network(torch.zeros(1, 3, 40, 40))
    diagonal = ((1.0 * 20) ** 2 + (0.6 * 20) ** 2) ** 0.5
    assert torch.allclose(outputs["out"][0] - first, torch.full((3, 2), 2 * diagonal / 2 / 40))


def test_all_stages_learn_and_later_ones_leave_the_earlier_alone() -> None:
    torch.manual_seed(0)
    network = deeppose(stages=3, dropout=0.0, **SMALL)
    outputs = network(torch.randn(2, 3, 64, 64))
    assert list(outputs) == ["out", "stage1", "stage2"]
    network.loss(outputs, people((64, 64), {"joints": 4})).backward()
    assert all(p.grad is not None and p.grad.any() for p in network.parameters())
    network.zero_grad()
    outputs = network(torch.randn(2, 3, 64, 64))
    outputs["out"].sum().backward()
    assert all(p.grad is None or not p.grad.any() for p in network.stages[:2].parameters())


def test_the_paper_s_loss_by_hand() -> None:
    told = people((40, 60), {"joints": 4})
    truth = (2 * told["joints"] + 1) / told["size"][:, None] - 1
    assert SquaredDistance()(truth + torch.tensor([0.3, -0.4]), told).item() == pytest.approx(0.25, rel=1e-4)
    both = SquaredDistance()({"out": truth, "stage1": truth + 0.1}, told)
    assert both.item() == pytest.approx(0.02, rel=1e-3)
    told["visible"][:] = 0
    assert SquaredDistance()(truth + 1, told).item() == 0


def test_what_does_not_exist_is_refused() -> None:
    for torso in ((1,), (0, 9), (0, 1, 2)):
        with pytest.raises(RegistryError, match="'torso' names two of the joints 0 to 3"):
            deeppose(torso=torso, **SMALL)
    with pytest.raises(RegistryError, match="nothing is left of an image of 32 px"):
        deeppose(**SMALL | {"crop": 32}, stages=2)
    with pytest.raises(RegistryError, match="no backbone is called 'resnet51', did you mean 'resnet"):
        deeppose(backbone="resnet51")
    with pytest.raises(RegistryError, match="own width"):
        deeppose(backbone="timm:resnet18", width=0.5)


def test_a_timm_backbone_and_an_image_as_it_is() -> None:
    with torch.device("meta"):
        network = deeppose(backbone="timm:resnet18", side=None, stages=2, joints=3).eval()
    assert network(torch.zeros(1, 3, 70, 64, device="meta"))["out"].shape == (1, 3, 2)
