from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from bench.data.people import examples
from bench.tasks.pose import Pose, decoded, pixels, softmax, spatial_cross_entropy, stride_of

NAMES = ("neck", "left_wrist", "right_wrist")


def people(count: int = 6, size: tuple[int, int] = (40, 48), publishable: bool = True):
    """Images with one lit pixel a joint, of a colour of its own; the places are whole pixels."""
    rng = np.random.default_rng(0)
    joints = rng.integers(8, 32, (count, 3, 2)).astype(float)
    images = np.zeros((count, 3, *size), dtype=np.uint8)
    for image, places in zip(images, joints.astype(int), strict=True):
        for channel, (x, y) in enumerate(places):
            image[channel, y, x] = 255
    visible = np.full((count, 3), 2, dtype=np.uint8)
    visible[0, 1], visible[1, 2] = 0, 1
    return examples(images, joints, visible, NAMES, lengths={"torso": np.full(count, 10.0)}, publishable=publishable)


class Lamps(nn.Module):
    """Maps of logits at a stride: each joint where its channel is brightest."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(stride, ceil_mode=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.pool(x) * 10


class Fixed(nn.Module):
    def __init__(self, *coordinates: float) -> None:
        super().__init__()
        self.coordinates = torch.tensor(coordinates)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.coordinates.expand(len(x), 3, 2)


def batch(pictures):
    return Pose.prepare(pictures.images), dict(pictures.targets)


def test_stride_is_told_by_the_size_of_the_map() -> None:
    for stride in (1, 2, 4, 8, 16):
        for side in range(stride + 1, 70):
            assert stride_of((side, 64), (-(-side // stride), -(-64 // stride))) == stride
    with pytest.raises(ValueError, match="has no stride"):
        stride_of((64, 64), (16, 8))
    with pytest.raises(ValueError, match="has no stride"):
        stride_of((64, 64), (20, 20))


@pytest.mark.parametrize("stride", [1, 4, 8])
def test_evaluation_puts_joints_at_the_centres_of_their_cells(stride: int) -> None:
    pictures = people()
    evaluation = Pose.evaluate(Lamps(stride), pictures, batch=4)
    truth = pictures.targets["joints"].reshape(-1, 2).numpy()
    annotated = evaluation.units["visible"] > 0
    cells = np.floor(truth / stride) * stride + (stride - 1) / 2
    assert np.allclose(evaluation.units["argmax"][annotated], cells[annotated])
    assert np.array_equal(evaluation.units["truth"], truth)
    assert evaluation.units["image"].tolist() == [i for i in range(6) for _ in NAMES]
    assert evaluation.units["joint"].tolist() == [0, 1, 2] * 6
    assert evaluation.units["torso"].tolist() == [10.0] * 18
    assert set(evaluation.units) >= {"argmax", "quarter", "dark", "soft_argmax"}
    assert evaluation.samples["stage:out"].shape == (4, 3, -(-40 // stride), -(-48 // stride))


def test_coordinates_run_from_edge_to_edge() -> None:
    evaluation = Pose.evaluate(Fixed(-1.0, 1.0), people())
    assert evaluation.units["regressed"].tolist() == [[-0.5, 39.5]] * 18
    assert "argmax" not in evaluation.units
    truth = torch.tensor([[3.0, 5.0]])
    assert torch.allclose(pixels((2 * truth + 1) / torch.tensor([48.0, 40.0]) - 1, 48, 40), truth)


def test_evaluation_asks_the_loss_what_maps_mean() -> None:
    class Heights(nn.Module):
        def probabilities(self, maps: torch.Tensor) -> torch.Tensor:
            fractions = maps - maps.amin((-2, -1), keepdim=True) + 1e-9
            return fractions / fractions.sum((-2, -1), keepdim=True)

    pictures, model = people(), Lamps(1)
    model.loss = Heights()
    units = Pose.evaluate(model, pictures).units
    annotated = units["visible"] > 0
    assert np.abs(units["soft_argmax"] - units["truth"])[annotated].max() < 1e-3


def test_a_network_of_other_joints_is_refused() -> None:
    with pytest.raises(ValueError, match="the network has 1 joints, the data 3"):
        Pose.evaluate(nn.Conv2d(3, 1, 1), people())


def test_no_picture_of_people_who_may_not_be_shown() -> None:
    assert Pose.evaluate(Lamps(4), people(publishable=False)).samples == {}


def test_cross_entropy_by_hand() -> None:
    maps = torch.randn(1, 1, 4, 5)
    logs = maps.flatten().log_softmax(0).view(4, 5)
    # stride 2: the centre of cell i is at 2i + 0.5, so px (4.5, 1.0) is cell (2, 0.25)
    loss = spatial_cross_entropy(maps, torch.tensor([[[4.5, 1.0]]]), 2)
    assert loss.item() == pytest.approx(-(0.75 * logs[0, 2] + 0.25 * logs[1, 2]).item(), rel=1e-5)
    corner = spatial_cross_entropy(maps, torch.tensor([[[-0.5, 7.5]]]), 2)
    assert corner.item() == pytest.approx(-logs[3, 0].item(), rel=1e-5)


@pytest.mark.parametrize("output", [torch.randn(6, 3, 10, 12), torch.randn(6, 3, 2)], ids=["maps", "coordinates"])
def test_joints_without_annotation_or_outside_the_image_have_no_loss(output: torch.Tensor) -> None:
    _, targets = batch(people())
    output = output.requires_grad_()
    gone = {**targets, "visible": torch.zeros_like(targets["visible"])}
    assert Pose.loss(output, gone).item() == 0
    far = {**targets, "joints": targets["joints"].clone()}
    far["joints"][2:] += 100
    hidden = {**targets, "visible": targets["visible"].clone()}
    hidden["visible"][2:] = 0
    assert Pose.loss(output, far).item() == pytest.approx(Pose.loss(output, hidden).item())
    Pose.loss(output, hidden).backward()
    assert output.grad is not None
    assert not output.grad[2:].any()
    assert not output.grad[0, 1].any()
    assert output.grad[1, 2].any()  # occluded, but annotated


def test_the_loss_of_stages_adds_up() -> None:
    _, targets = batch(people())
    a, b = torch.randn(6, 3, 10, 12), torch.randn(6, 3, 20, 24)
    both = Pose.loss({"out": a, "stage1": b}, targets)
    assert both.item() == pytest.approx((Pose.loss(a, targets) + Pose.loss(b, targets)).item())
    assert Pose.loss(torch.zeros(6, 3, 10, 12), targets).item() == pytest.approx(math.log(120))


def test_coordinates_cost_their_distance_in_half_sides() -> None:
    _, targets = batch(people())
    truth = (2 * targets["joints"] + 1) / targets["size"][:, None] - 1
    assert Pose.loss(truth + torch.tensor([0.1, -0.2]), targets).item() == pytest.approx(0.3, rel=1e-5)


def augmented(pictures, seed: int):
    images, targets = batch(pictures)
    return Pose.augment(images, targets, torch.Generator().manual_seed(seed))


def test_augmentation_moves_joints_with_the_image_and_exchanges_left_and_right() -> None:
    pictures = people(count=64, size=(40, 48))
    # Spots of several pixels, so that what is left of them after resampling tells the place.
    images = pictures.images.float()
    spots = nn.functional.avg_pool2d(images, 5, 1, 2) * 25
    moved, targets = Pose.augment(spots, dict(pictures.targets), torch.Generator().manual_seed(3))
    exchanged = 0
    for image, joints, visible in zip(moved, targets["joints"], targets["visible"], strict=True):
        lit = image - image.flatten(1).median(1).values[:, None, None]
        centres = {}
        for channel in range(3):
            peak = lit[channel].clamp(min=0)
            peak = peak * (peak > peak.max() / 3)
            if peak.max() > 100:
                y, x = torch.meshgrid(torch.arange(40.0), torch.arange(48.0), indexing="ij")
                centres[channel] = torch.stack([(peak * x).sum(), (peak * y).sum()]) / peak.sum()
        for joint in range(3):
            inner = bool(visible[joint]) and bool((joints[joint] > 4).all() and (joints[joint] < 35).all())
            if inner:
                near = {c: (centres[c] - joints[joint]).norm().item() for c in centres}
                best = min(near, key=lambda c: near[c])
                assert near[best] < 1.0
                assert (best == 0) == (joint == 0) or near[0] < 5
                exchanged += joint == 1 and best == 2
    assert 10 < exchanged < 50


def test_augmentation_follows_its_generator_and_hides_what_leaves_the_image() -> None:
    pictures = people(count=64)
    first, again, other = augmented(pictures, 1), augmented(pictures, 1), augmented(pictures, 2)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1]["joints"], again[1]["joints"])
    assert not torch.equal(first[1]["joints"], other[1]["joints"])
    joints, visible, size = (first[1][name] for name in ("joints", "visible", "size"))
    outside = ((joints < -0.5) | (joints > size[:, None] - 0.5)).any(-1)
    assert not visible[outside].any()
    assert set(visible.unique().tolist()) == {0, 1, 2}
    assert visible.dtype == torch.uint8


def test_half_of_the_people_are_mirrored() -> None:
    pictures = people(count=400)
    flags = torch.tensor([[2, 2, 1]], dtype=torch.uint8).expand(400, 3).clone()
    _, targets = Pose.augment(
        Pose.prepare(pictures.images), {**pictures.targets, "visible": flags}, torch.Generator().manual_seed(0)
    )
    seen = (targets["visible"][:, 1:] > 0).all(1)
    fraction = (targets["visible"][seen, 1] == 1).float().mean().item()
    assert 0.4 < fraction < 0.6  # 4 sigma of 400 fair draws is 0.1


def test_maps_are_decoded_in_pixels_of_the_image() -> None:
    maps = torch.zeros(1, 1, 8, 8)
    maps[0, 0, 3, 5] = 50
    places = decoded(maps, (64, 64), softmax)
    assert places["argmax"].tolist() == [[[5 * 8 + 3.5, 3 * 8 + 3.5]]]


def test_prepared_bytes_are_centred() -> None:
    assert Pose.prepare(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [-2.0, 2.0]
