"""Our counts beside torch's and fvcore's: equal, or different by a rule that predicts the amount."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision
from small_networks import FPN, PSP, DeconvNet, UNet
from structure_cases import plain
from torch import nn

from bench.structure.audit import NO_ATTENTION, Audit, Difference, audit

NETWORKS = {
    "u-net": (lambda: UNet("bilinear"), (1, 1, 32, 32)),
    "u-net deconvolutions": (lambda: UNet("deconv"), (1, 1, 32, 32)),
    "fpn": (FPN, (1, 1, 32, 32)),
    "psp": (PSP, (1, 1, 32, 32)),
    "resnet18": (torchvision.models.resnet18, (1, 3, 64, 64)),
    "efficientnet_b0": (lambda: timm.create_model("efficientnet_b0"), (1, 3, 64, 64)),
    "resnext": (torchvision.models.resnext50_32x4d, (1, 3, 64, 64)),
    "vit": (lambda: timm.create_model("vit_tiny_patch16_224", img_size=64), (1, 3, 64, 64)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_difference_has_a_rule_that_predicts_it(name: str) -> None:
    make, shape = NETWORKS[name]
    model = make().train()
    found = audit(model, shape)
    assert found.failure == ""
    assert found.torch == found.ours
    assert found.agreed, found.differences
    assert model.training
    rules = {d.rule for d in found.differences}
    assert (NO_ATTENTION in rules) == (name == "vit")


def test_deconvnet_is_counted_where_fvcore_fails() -> None:
    found = audit(DeconvNet(), (1, 1, 32, 32))
    assert found.fvcore is None
    assert "Error" in found.failure
    # Two 3x3 convolutions and two 3x3 deconvolutions, of one channel: at 32, 16, 16 and 32 pixels.
    assert found.ours == found.torch == 9 * (32 * 32 + 16 * 16 + 16 * 16 + 32 * 32)


def test_a_difference_without_a_rule_is_flagged() -> None:
    assert not Audit(1, 2, None, (Difference("torch", (), 1, ""),)).agreed
    found = audit(nn.Sequential(nn.Conv2d(1, 1, 1), plain(lambda x: torch.einsum("nchw,nkhw->nck", x, x))), (1, 1, 8, 8))
    assert found.torch == found.ours
