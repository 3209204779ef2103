"""The dense pass gives what the classifier gives on every window; the windows are the classifier's fields."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from architectures.sliding_window import EveryWindow, SlidingWindow, sliding_window
from bench.structure.costs import costs
from bench.structure.tape import record


def pair(backbone: str) -> tuple[SlidingWindow, SlidingWindow]:
    """(dense, windows) with the same weights, in float64."""
    axes = {"backbone": backbone, "width": 0.1, "fc_channels": 64, "classes": 3}
    torch.manual_seed(0)
    dense, windows = (sliding_window(evaluation=e, **axes).double().eval() for e in ("dense", "windows"))
    given = dense.state_dict()
    weights = windows.state_dict()
    windows.load_state_dict({k: given[k.replace("classifier.", "")].reshape(v.shape) for k, v in weights.items()})
    return dense, windows


def image(height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, 3, height, width, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("backbone", ["alexnet", "vgg16"])
def test_one_pass_gives_the_scores_of_every_window(backbone: str) -> None:
    dense, windows = pair(backbone)
    x = image(40, 70)
    with torch.no_grad():
        scores = dense(x)
        torch.testing.assert_close(scores, windows(x), rtol=1e-9, atol=1e-11)
    assert scores.std(dim=(2, 3)).min() > 1e-3  # positions differ, so equal by accident they are not


@pytest.mark.parametrize(("backbone", "window"), [("alexnet", 355), ("vgg16", 404)])
def test_a_window_is_the_field_of_the_classifier(backbone: str, window: int) -> None:
    """VGG-16: 212 px before fc6, whose 7x7 cells stand 32 px apart: 212 + 6 * 32 = 404. AlexNet: 195 + 5 * 32."""
    with torch.device("meta"):
        net = sliding_window(backbone=backbone, width=0.1)
    assert isinstance(net, SlidingWindow)
    assert (net.window, net.stride) == (window, 32)


def test_the_classifier_runs_once_for_each_cell() -> None:
    """500 px are 16 cells of 32 px: 256 windows of 355x355, each at the cost of a 355 px image."""

    def macs(side: int, evaluation: str) -> int:
        with torch.device("meta"):
            net: nn.Module = sliding_window(evaluation=evaluation, width=0.1).eval()
        return costs(record(net, (1, 3, side, side))).macs

    assert macs(128, "windows") == 16 * macs(32, "windows")
    assert macs(32, "windows") == macs(32, "dense")
    assert macs(128, "dense") < macs(128, "windows") / 5


def test_windows_are_those_of_the_frame() -> None:
    """Each window's mean of an image that numbers its columns is the column of its middle."""
    mean = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    columns = torch.arange(12.0).expand(1, 1, 9, 12)
    found = EveryWindow(mean, 3, 3)(columns)
    assert found.shape == (1, 1, 3, 4)
    assert found[0, 0, 0].tolist() == [1, 4, 7, 10]
