"""Our counts beside torch's and fvcore's: every number that differs has a rule that predicts it, and no other."""

from __future__ import annotations

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from small_networks import FPN, PSP, DeconvNet, UNet
from structure_cases import plain
from torch import nn

from bench.structure import audit as module
from bench.structure.audit import Audit, Line, audit
from bench.structure.costs import costs
from bench.structure.tape import record


class Masked(nn.Conv2d):
    """A convolution whose kernel sees the rows above only."""

    def __init__(self) -> None:
        super().__init__(3, 4, 3, padding=1)
        mask = torch.ones(1, 1, 3, 3)
        mask[:, :, 1:] = 0
        self.register_buffer("mask", mask)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=1)


class Attention(nn.Module):
    def __init__(self, weights: bool) -> None:
        super().__init__()
        self.layer, self.weights = nn.MultiheadAttention(8, 2, batch_first=True), weights

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        out: torch.Tensor = self.layer(tokens, tokens, tokens, need_weights=self.weights)[0]
        return out


def convolutions() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(4, 8, 3, groups=4, dilation=2),
        nn.ConvTranspose2d(8, 6, 3, stride=2, groups=2, output_padding=1),
        nn.Conv2d(6, 4, (1, 5), stride=(2, 1), bias=False),
        nn.InstanceNorm2d(4, affine=True),
        nn.GroupNorm(2, 4),
        nn.BatchNorm2d(4, affine=False),
        nn.BatchNorm2d(4, track_running_stats=False),
        nn.Hardswish(),
        nn.MaxPool2d(2),
        nn.Upsample(scale_factor=2),
    )


NETWORKS = {
    "convolutions": (convolutions, (2, 4, 16, 16)),
    "masked": (Masked, (1, 3, 9, 9)),
    "u-net": (lambda: UNet("bilinear"), (1, 1, 32, 32)),
    "u-net deconvolutions": (lambda: UNet("deconv"), (1, 1, 32, 32)),
    "fpn": (FPN, (1, 1, 32, 32)),
    "psp": (PSP, (1, 1, 32, 32)),
    "resnet18": (torchvision.models.resnet18, (1, 3, 64, 64)),
    "efficientnet_b0": (lambda: timm.create_model("efficientnet_b0"), (1, 3, 64, 64)),
    "swin": (lambda: timm.create_model("swin_tiny_patch4_window7_224", img_size=56), (1, 3, 56, 56)),
    "vit": (lambda: timm.create_model("vit_tiny_patch16_224", img_size=64), (1, 3, 64, 64)),
    "attention": (lambda: Attention(False), (1, 8, 4, 4)),
    "attention with weights": (lambda: Attention(True), (1, 8, 4, 4)),
    "einsum": (lambda: plain(lambda x: torch.einsum("nchw,nkhw->nck", x, x)), (1, 7, 13, 17)),
    "baddbmm": (lambda: plain(lambda x: torch.baddbmm(x[0], x[0], x[0])), (1, 3, 5, 5)),
    "vectors": (lambda: plain(lambda x: torch.mv(x[0, 0], x[0, 0, 0])), (1, 1, 5, 5)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_difference_has_a_rule_that_predicts_it(name: str) -> None:
    make, shape = NETWORKS[name]
    model = make().train()
    counts = audit(model, shape)
    assert counts.failure == ""
    assert counts.unexplained == ()
    assert all(m.training for m in model.modules())
    counted = costs(record(model.eval(), shape))
    assert (counts.macs, counts.flops, counts.live) == (counted.macs, counted.flops, counted.live)
    assert counts.torch == 2 * counts.macs or name == "vectors"
    rules = {line.fvcore_rule for line in counts.lines}
    assert (module.NO_ATTENTION in rules) == (name in ("vit", "attention"))


def by_name(counts: Audit) -> dict[str, Line]:
    return {line.operator: line for line in counts.lines}


def test_the_numbers_of_a_line_by_hand() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    lines = by_name(audit(net, (2, 3, 10, 12)))
    out = 2 * 8 * 8 * 10
    conv, norm = lines["convolution"], lines["native_batch_norm"]
    assert (conv.macs, conv.flops, conv.fvcore, conv.torch) == (out * 27, out * 55, out * 27, out * 54)
    assert (norm.macs, norm.flops, norm.fvcore, norm.torch) == (0, 2 * out, 2 * out, 0)
    assert (norm.fvcore_rule, norm.torch_rule) == (module.PRICES["native_batch_norm"], module.PRODUCTS_ONLY)
    assert (lines["relu"].fvcore, lines["relu"].fvcore_rule) == (0, module.NO_PRICE)
    assert (lines["mean"].fvcore, lines["mean"].fvcore_rule) == (out, "1 an input element")


def test_masked_convolution_is_dense_for_all_three_and_live_for_us() -> None:
    counts = audit(Masked(), (1, 3, 9, 9))
    assert counts.fvcore == counts.macs == 9 * 9 * 4 * 27
    assert counts.torch == 2 * counts.macs
    assert counts.live * 3 == counts.macs


def test_deconvnet_is_counted_where_fvcore_fails_and_the_operator_named() -> None:
    counts = audit(DeconvNet(), (1, 1, 32, 32))
    assert counts.fvcore is None
    assert "Error" in counts.failure
    assert "max_unpool2d" in counts.failure
    # Two 3x3 convolutions and two 3x3 deconvolutions, of one channel: at 32, 16, 16 and 32 pixels.
    assert 2 * counts.macs == counts.torch == 2 * 9 * (32 * 32 + 16 * 16 + 16 * 16 + 32 * 32)
    assert counts.unexplained == ()


@pytest.mark.parametrize(
    ("table", "flagged"),
    [({"conv": 27 * 64 + 1}, "convolution"), ({"conv": 27 * 64, "batch_norm": 5}, "native_batch_norm")],
)
def test_a_number_without_a_rule_is_flagged(
    monkeypatch: pytest.MonkeyPatch, table: dict[str, int], flagged: str
) -> None:
    monkeypatch.setattr(module, "fvcore_table", lambda *_: table)
    counts = audit(nn.Conv2d(3, 1, 3, padding=1), (1, 3, 8, 8))
    assert [line.operator for line in counts.unexplained] == [flagged]
    monkeypatch.setattr(module, "torch_table", lambda *_: ({"convolution": 1, "novel": 7}, 0))
    counts = audit(nn.Conv2d(3, 1, 3, padding=1), (1, 3, 8, 8))
    assert {line.operator for line in counts.unexplained} == {"convolution", "novel", flagged}


def test_what_fvcore_leaves_out_without_a_known_reason_is_flagged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "fvcore_table", lambda *_: {})
    counts = audit(nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2), nn.ReLU()), (1, 3, 8, 8))
    assert [line.operator for line in counts.unexplained] == ["convolution", "native_batch_norm"]


def test_an_operator_that_our_own_count_has_no_rule_for_is_flagged() -> None:
    counts = audit(plain(lambda x: torch.linalg.inv(x)), (1, 3, 4, 4))
    assert [line.operator for line in counts.unexplained] == ["linalg_inv_ex"]
