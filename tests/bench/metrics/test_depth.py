import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bench.hardware.subject import Subject
from bench.metrics.depth import depth


class Branches(nn.Module):
    """A long path and a short one that meet; fixed upsampling and a product of two maps behind them."""

    def __init__(self):
        super().__init__()
        self.long = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
        self.short = nn.Conv2d(3, 4, 1)
        self.head = nn.Linear(4, 2)
        self.register_buffer("fixed", torch.ones(4, 4, 2, 2))

    def forward(self, x):
        x = F.conv_transpose2d(self.long(x) + self.short(x), self.fixed, stride=2)
        x = x @ x.transpose(-1, -2)
        return self.head(x.mean((-1, -2)))


@pytest.mark.parametrize(
    ("network", "layers"),
    [
        (Branches, 3),
        (nn.Identity, 0),
        (lambda: nn.Sequential(nn.Conv2d(3, 3, 1), nn.MaxPool2d(2)), 1),
        (lambda: nn.ConvTranspose2d(3, 3, 2), 1),
    ],
)
def test_layers_with_parameters_on_the_longest_path(network, layers):
    assert depth(Subject(network, (3, 8, 8))).value == layers


@pytest.mark.parametrize(("name", "layers"), [("alexnet", 8), ("vgg16", 16), ("resnet18", 18), ("resnet50", 50)])
def test_networks_that_bear_their_depth_in_their_name(name, layers):
    from torchvision import models

    assert depth(Subject(lambda: models.get_model(name, weights=None), (3, 64, 64))).value == layers
