import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bench.hardware.subject import Subject
from bench.metrics.conventions import measured


class Mixed(nn.Module):
    """Of everything that the conventions treat differently."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)  # 16 x 16 outputs: 2048 elements of 27 MACs
        self.batch = nn.BatchNorm2d(8)
        self.bare = nn.BatchNorm2d(8, affine=False)
        self.group = nn.GroupNorm(2, 8)
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2, bias=False)

    def forward(self, x):
        x = F.relu(self.group(self.bare(self.batch(self.conv(x)))))
        return F.interpolate(F.adaptive_avg_pool2d(self.up(x), 4), size=(8, 8), mode="bilinear")


CONVOLUTIONS = 2048 * 27 + 2048 * 4 * 4  # transposed: each input element meets 4 channels of 2x2


def counted(model, *shape):
    return measured(Subject(lambda: model, shape)).detail


def test_each_convention_by_hand():
    counts = counted(Mixed(), 3, 16, 16)
    assert counts["torchvision_gflops"] == CONVOLUTIONS / 1e9
    assert counts["twice_macs"] == 2 * CONVOLUTIONS
    at_the_output = CONVOLUTIONS + 3 * 2048 * 4 * 4  # four output elements for each input element
    assert counts["hrnet_gflops"] == at_the_output / 1024**3
    norms = (2 + 1 + 5) * 2048
    pooled, interpolated = 4 * 32 * 32, 4 * (4 * 8 * 8)
    assert counts["fvcore_gflops"] == pytest.approx((CONVOLUTIONS + norms + pooled + interpolated) / 1e9, rel=1e-12)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["resnet18", "convnext_tiny", "densenet121"])
def test_fvcore_counts_what_its_convention_says(name):
    from fvcore.nn import FlopCountAnalysis
    from torchvision import models

    model = models.get_model(name, weights=None).eval()
    theirs = FlopCountAnalysis(model, torch.zeros(1, 3, 64, 64))
    theirs.unsupported_ops_warnings(False)
    assert counted(model, 3, 64, 64)["fvcore_gflops"] == pytest.approx(theirs.total() / 1e9, rel=1e-12)
