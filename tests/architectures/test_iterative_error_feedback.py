"""Iterative error feedback: bounded corrections, the drawn pose, the fixed path, the start, what each axis changes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from architectures.iterative_error_feedback import drawn, iterative_error_feedback, limited
from bench.registry import RegistryError

NARROW: dict[str, Any] = {"backbone": "small", "width": 0.125, "joints": 3}
BOUND = 2 * 0.0893


def network(**axes: Any) -> Any:
    torch.manual_seed(0)
    return iterative_error_feedback(**NARROW | axes)


def image(*size: int) -> Tensor:
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))


def targets(coordinates: Tensor, side: int = 64) -> dict[str, Tensor]:
    """Joints at these coordinates (N, K, 2) from -1 to 1, all visible."""
    count, joints, _ = coordinates.shape
    return {
        "joints": ((coordinates + 1) * side - 1) / 2,
        "visible": torch.full((count, joints), 2, dtype=torch.uint8),
        "size": torch.full((count, 2), float(side)),
    }


class Constant(nn.Module):
    """Maps of zeros: then the head's bias is all that is predicted."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros(len(x), 32, 1, 1)


def saying(value: float, **axes: Any) -> Any:
    """A network that always predicts `value` of the bound."""
    net = network(**axes)
    net.encoder = Constant()
    nn.init.constant_(net.head.bias, value)
    return net


def test_corrections_are_cut_to_the_bound() -> None:
    found = limited(torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]]), 1.0)
    torch.testing.assert_close(found, torch.tensor([[0.6, 0.8], [0.3, 0.4], [0.0, 0.0]]))


def test_a_pose_is_drawn_where_it_is() -> None:
    """Pixel (x, y) has its centre at (2x + 1) / width - 1."""
    pose = torch.tensor([[[(2 * 10 + 1) / 80 - 1, (2 * 50 + 1) / 64 - 1]]])
    maps = drawn(pose, 64, 80)
    assert maps.shape == (1, 1, 64, 80)
    assert divmod(int(maps.argmax()), 80) == (50, 10)
    assert float(maps.max()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_no_step_goes_farther_than_the_bound(steps: int) -> None:
    net = saying(5.0, steps=steps).eval()
    outputs = net(image(64, 70))
    assert list(outputs) == ["out", *(f"stage{n}" for n in range(1, steps))]
    path = [net.start.expand(2, -1, -1), *(outputs[f"stage{n}"] for n in range(1, steps)), outputs["out"]]
    lengths = [(b - a).norm(dim=-1) for a, b in pairwise(path)]
    torch.testing.assert_close(torch.stack(lengths), torch.full((steps, 2, 3), BOUND))


def test_a_predicted_pose_may_be_anywhere() -> None:
    outputs = saying(5.0, steps=1, predict="pose").eval()(image(64, 64))
    torch.testing.assert_close(outputs["out"], torch.full((2, 3, 2), 5 * BOUND))


def test_the_fixed_path_goes_straight_to_the_truth_in_bounded_steps() -> None:
    net = network(steps=4)
    truth = torch.tensor([[[0.5, 0.0], [0.0, -0.1], [0.3, 0.3]]])
    path = net._fixed_path(torch.zeros(1, 3, 2), truth, torch.tensor([[True, True, False]]))
    expected = [[min(0.5, n * BOUND), 0.0] for n in (1, 2, 3)]
    torch.testing.assert_close(torch.stack(path)[:, 0, 0], torch.tensor(expected))
    torch.testing.assert_close(torch.stack(path)[:, 0, 1], torch.tensor([[0.0, -0.1]] * 3))
    assert not torch.stack(path)[:, 0, 2].any()


def test_the_loss_of_a_network_that_says_nothing_follows_from_the_path() -> None:
    """At 0.3 from the start with a bound of 0.1786: a whole bound is wanted, then the rest, then nothing."""
    truth = torch.zeros(2, 3, 2)
    truth[..., 0] = 0.3
    net = saying(0.0, steps=3).train()
    loss = net.loss(net(image(64, 64)), targets(truth))
    rest = (0.3 - BOUND) / BOUND
    assert loss.item() == pytest.approx((1 + rest**2 + 0) / 3 + 0.3, rel=1e-4)


def test_on_its_own_path_it_is_shown_where_its_own_corrections_led() -> None:
    """It says one bound to the right each time, so that the truth at two bounds is right, right, and passed."""
    truth = torch.zeros(2, 3, 2)
    truth[..., 0] = 2 * BOUND
    net = saying(0.0, steps=3, path="own").train()
    with torch.no_grad():
        net.head.bias.view(3, 2)[:, 0] = 1.0
    loss = net.loss(net(image(64, 64)), targets(truth))
    assert loss.item() == pytest.approx((0 + 0 + 1) / 3 + 2 * BOUND, rel=1e-4)


def test_joints_that_are_not_annotated_have_no_loss() -> None:
    net = network(steps=2).train()
    given = targets(torch.rand(2, 3, 2))
    given["visible"][:, 1] = 0
    moved = {**given, "joints": given["joints"].clone()}
    moved["joints"][:, 1] += 5
    assert torch.equal(net.loss(net(image(64, 64)), given), net.loss(net(image(64, 64)), moved))


def test_the_start_is_drawn_to_the_median_pose() -> None:
    net = network(steps=1)
    optimizer = torch.optim.SGD([net.start], lr=0.05)
    truth = torch.tensor([-0.4, 0.1, 0.15, 0.2, 0.9]).view(5, 1, 1).expand(5, 3, 2)
    x = image(64, 64)[:1].expand(5, -1, -1, -1)
    for _ in range(50):
        optimizer.zero_grad()
        net.loss(net(x), targets(truth)).backward()
        optimizer.step()
    assert (net.start - 0.15).abs().max().item() < 0.03


def test_it_learns_one_pose_step_by_step() -> None:
    net = network(steps=2, norm="batch", cells=2)
    truth = torch.tensor([[[0.3, 0.1], [-0.2, 0.2], [0.0, -0.3]]]).expand(2, -1, -1)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    x = image(64, 64)
    for _ in range(40):
        optimizer.zero_grad()
        net.loss(net(x), targets(truth)).backward()
        optimizer.step()
    with torch.no_grad():
        outputs = net.eval()(x)
    first, last = ((outputs[name] - truth).norm(dim=-1).mean() for name in ("stage1", "out"))
    assert float(last) < 0.1
    assert float(last) < float(first)


def test_what_it_is_shown_matters_only_with_feedback() -> None:
    assert network().encoder.conv1_1.in_channels == 6
    assert network(feedback=False, steps=1).encoder.conv1_1.in_channels == 3


def test_a_backbone_of_timm_takes_the_drawn_joints_too() -> None:
    with torch.device("meta"):
        net = iterative_error_feedback(backbone="timm:resnet18", joints=5).eval()
        assert net(torch.empty(2, 3, 65, 99))["out"].shape == (2, 5, 2)


def test_an_unknown_backbone_is_refused() -> None:
    with pytest.raises(RegistryError, match="did you mean 'googlenet'"):
        iterative_error_feedback(backbone="googlnet")
