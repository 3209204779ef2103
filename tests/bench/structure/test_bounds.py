"""Data-dependent operators give a marked upper bound, never less than the truth; unknown ones raise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from structure_cases import Run, plain
from structure_oracle import dependence, mask_of
from torch import nn

from bench.metrics.receptive_field import receptive_field
from bench.structure.tape import StructureError

SHAPE = (2, 6, 7)


def warped(self: Run, x: torch.Tensor) -> torch.Tensor:
    flow = self.flow(x).permute(0, 2, 3, 1).tanh()
    return F.grid_sample(x, flow, align_corners=False)


def scattered(x: torch.Tensor) -> torch.Tensor:
    where = (x.argsort(3) + 1) % x.shape[3]
    return torch.zeros_like(x).scatter(3, where, x)


BOUNDED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "gather": (lambda: plain(lambda x: x.gather(3, x.argmax(3, keepdim=True))), "gather"),
    "topk": (lambda: plain(lambda x: x.topk(3, dim=2).values), "topk"),
    "sort": (lambda: plain(lambda x: x.sort(dim=3).values), "sort"),
    "grid sample": (lambda: Run(warped, flow=nn.Conv2d(2, 2, 1)), "grid_sampler_2d"),
    "computed index": (lambda: plain(lambda x: x[:, :, x[0, 0, :, 0].argsort()]), "index"),
    "scatter": (lambda: plain(scattered), "scatter"),
    "matrix inverse": (
        lambda: plain(lambda x: torch.linalg.inv(x[:, :, :, :6] + 3 * torch.eye(6, device=x.device))),
        "linalg_inv_ex",
    ),
}


@pytest.mark.parametrize("name", BOUNDED)
def test_a_bound_holds_the_truth_and_is_marked(name: str) -> None:
    make, operator = BOUNDED[name]
    model = make().double()
    moved = dependence(model, SHAPE)
    for place in ((0, 0), tuple(n // 2 for n in moved.shape[3:]), tuple(n - 1 for n in moved.shape[3:])):
        field = receptive_field(model, SHAPE, position=place)
        assert not field.exact
        assert any(operator in named for named in field.inexact)
        expected = mask_of(moved, 2, place)
        assert not (expected & ~field.mask).any()


def test_only_operators_on_the_way_are_named() -> None:
    class TwoWays(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat([x[:, :, :3], x[:, :, 3:].sort(3).values], 2)

    assert receptive_field(TwoWays(), SHAPE, position=(0, 0)).exact
    assert not receptive_field(TwoWays(), SHAPE, position=(5, 0)).exact


def test_an_operator_without_a_rule_says_its_name_and_place() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = plain(lambda x: torch.linalg.eigvals(x).abs())

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x[..., :3, :3])

    with pytest.raises(StructureError, match=r"aten\.linalg_eig in 'inner'"):
        receptive_field(Odd(), SHAPE)


def test_batch_statistics_are_global_in_training_only() -> None:
    model = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2), nn.Dropout(0.5))
    assert receptive_field(model, SHAPE, position=(0, 0)).mask.sum() == 1
    assert receptive_field(model, SHAPE, position=(0, 0), training=True).mask.all()
    cut = receptive_field(model, SHAPE, position=(0, 0), training=True, cut=("normalisation",))
    assert cut.mask.sum() == 1


def test_trainable_zeros_are_no_structure() -> None:
    model = nn.Conv2d(1, 1, 3, padding=1)
    nn.init.zeros_(model.weight)
    assert receptive_field(model, (1, 8, 8)).size == 3
    frozen = nn.Conv2d(1, 1, 3, padding=1)
    nn.init.zeros_(frozen.weight)
    frozen.weight.requires_grad_(False)
    assert receptive_field(frozen, (1, 8, 8)).size == 3


def test_tokens_and_channels_last_outputs() -> None:
    class Tokens(nn.Module):
        def __init__(self, last: bool) -> None:
            super().__init__()
            self.patch, self.last = nn.Conv2d(1, 4, 4, 4), last

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.patch(x)
            return y.permute(0, 2, 3, 1) if self.last else y.flatten(2).transpose(1, 2)

    assert receptive_field(Tokens(False), (1, 8, 12), position=(4,)).box == ((4, 8), (4, 8))
    assert receptive_field(Tokens(True), (1, 8, 12), position=(1, 2), axes=(1, 2)).box == ((4, 8), (8, 12))


def test_attention_and_pooling_edges_can_be_cut() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 2, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.a(x)
            t = y.flatten(2).transpose(1, 2)
            z = ((t @ t.transpose(1, 2)).softmax(-1) @ t).transpose(1, 2).reshape(y.shape)
            pooled = F.interpolate(self.b(F.adaptive_avg_pool2d(y, 1)), y.shape[-2:], mode="bilinear")
            return y + z + pooled

    model = Both()
    assert receptive_field(model, (1, 9, 9)).mask.all()
    assert receptive_field(model, (1, 9, 9), cut=("attention",)).mask.all()
    assert receptive_field(model, (1, 9, 9), cut=("global_pooling",)).mask.all()
    both = receptive_field(model, (1, 9, 9), cut=("attention", "global_pooling"))
    assert both.box == ((3, 6), (3, 6))
    assert np.array_equal(both.mask, receptive_field(model, (1, 9, 9)).local.mask)


def test_a_latent_has_no_spatial_axes() -> None:
    field = receptive_field(nn.Sequential(nn.Linear(5, 16), nn.Unflatten(1, (1, 4, 4))), (5,), position=(0, 0))
    assert field.box == ()
    assert field.mask
    assert field.size is None
    assert "no spatial axes" in field.unbounded.reason
