"""Effective receptive fields: closed forms, the theoretical field as their limit, and nothing moved."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from structure_cases import plain
from torch import nn

from bench.metrics.receptive_field import receptive_field
from bench.structure.effective import EffectiveField, EffectiveFieldError, effective_field


def field_of(model: nn.Module, *shape: int, runs: int = 1) -> EffectiveField:
    generator = torch.Generator().manual_seed(5)
    inputs = torch.randn(runs, 1, *shape, generator=generator)
    return effective_field((model.eval(), x) for x in inputs)


def test_one_convolution_spreads_the_squares_of_its_weights() -> None:
    layer = nn.Conv2d(1, 1, 3, padding=1, bias=False)
    field = field_of(layer, 1, 7, 9)
    squares = layer.weight.detach().double().numpy()[0, 0] ** 2
    expected = np.zeros((7, 9))
    expected[2:5, 3:6] = squares / squares.sum()
    assert field.map == pytest.approx(expected, rel=1e-5)


def stack(depth: int, channels: int, inputs: int = 3) -> nn.Sequential:
    sizes = [inputs, *[channels] * depth]
    return nn.Sequential(*(nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in pairwise(sizes)))


def test_linear_stack_with_random_weights_spreads_by_paths() -> None:
    """Luo et al., section 2: the convolution of the kernels' boxes, of variance depth x (3^2 - 1) / 12."""
    torch.manual_seed(0)
    depth, size = 5, 21
    field = effective_field((stack(depth, 32, 24), torch.randn(1, 24, size, size)) for _ in range(12))
    paths = np.ones(1)
    for _ in range(depth):
        paths = np.convolve(paths, np.ones(3) / 3)
    expected = np.zeros((size, size))
    expected[5:16, 5:16] = np.outer(paths, paths)
    assert np.abs(field.map - expected).sum() / 2 < 0.05  # about 0.03 is expected of 288 draws
    variance = (field.map.sum(axis=1) * (np.arange(size) - field.centre[0]) ** 2).sum()
    assert variance == pytest.approx(depth * 8 / 12, rel=0.05)
    assert field.centre == pytest.approx((10, 10), abs=0.1)


@pytest.mark.parametrize("sigma", [4.0, 7.0])
def test_radius_side_and_size_of_a_bell(sigma: float) -> None:
    y, x = np.indices((101, 101)) - 50
    bell = np.exp(-(y**2 + x**2) / (2 * sigma**2))
    field = EffectiveField(bell / bell.sum(), ())
    assert field.centre == pytest.approx((50, 50))
    assert field.radius == pytest.approx(sigma * math.sqrt(-2 * math.log(0.05)), rel=0.02)
    # P(|x| < h)^2 = 0.95 at h = 2.2365 sigma; the square counts whole pixels on both sides
    assert field.side == pytest.approx(2 * 2.2365 * sigma + 1, abs=2)
    # the gradient, root of the map, falls to 0.0455 of its peak at sigma x sqrt(-4 ln 0.0455)
    reach = sigma * math.sqrt(-4 * math.log(0.0455))
    assert field.size == pytest.approx(math.sqrt(math.pi) * reach, rel=0.02)
    inside = sum(a * a + b * b <= (field.radius + 1e-6) ** 2 for a in range(-30, 31) for b in range(-20, 21))
    assert field.fraction_of(((20, 81), (30, 71))) == inside / (61 * 41)


def test_a_pointwise_network_sees_its_own_pixel() -> None:
    field = field_of(nn.Conv2d(3, 4, 1), 3, 6, 9)
    assert (field.centre, field.radius, field.side, field.size) == ((3, 4), 0, 1, 1)


NETWORKS = {
    "relu and pooling": lambda: nn.Sequential(stack(2, 8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 4, 3, padding=2)),
    "dilated": lambda: nn.Sequential(nn.Conv2d(3, 8, 3, dilation=4), nn.BatchNorm2d(8), nn.Conv2d(8, 2, 3, dilation=2)),
    "transposed": lambda: nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ConvTranspose2d(8, 2, 4, stride=2)),
    "resized": lambda: nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.Upsample(scale_factor=3, mode="bilinear")),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_no_energy_lies_outside_of_the_theoretical_field(name: str) -> None:
    model = NETWORKS[name]()
    field, limit = field_of(model, 3, 24, 31, runs=3), receptive_field(model, (3, 24, 31))
    assert field.map.sum() == pytest.approx(1)
    assert (field.map[~limit.mask] == 0).all()
    assert (field.map[limit.mask] > 0).mean() > 0.5
    assert limit.box is not None
    assert 0 < field.fraction_of(limit.box) <= 1


def test_class_scores_tokens_and_mappings_have_a_field_too() -> None:
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 5))
    assert field_of(head, 3, 8, 8).map == pytest.approx(np.full((8, 8), 1 / 64))
    tokens = nn.Sequential(nn.Conv2d(3, 4, 2, stride=2), nn.Flatten(2), plain(lambda x: x.transpose(1, 2)))
    assert np.argwhere(field_of(tokens, 3, 4, 4).map).tolist() == [[2, 0], [2, 1], [3, 0], [3, 1]]
    named = plain(lambda x: {"out": x * 2, "aux": x.sum()})
    assert field_of(named, 3, 5, 5).map[2, 2] == 1
    line = field_of(nn.Conv1d(2, 2, 3, padding=1), 2, 9)
    assert np.flatnonzero(line.map).tolist() == [3, 4, 5]


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (plain(lambda x: x * 0), "zero at every pixel"),
        (plain(lambda x: x.argmax(1)), "no gradient"),
        (plain(lambda x: x.log() * float("inf")), "not finite"),
    ],
)
def test_a_network_without_a_gradient_says_so(network: nn.Module, message: str) -> None:
    with pytest.raises(EffectiveFieldError, match=message):
        field_of(network, 3, 4, 4)


def test_vectors_have_no_pixels() -> None:
    with pytest.raises(EffectiveFieldError, match="no pixels"):
        field_of(nn.Linear(4, 2), 4)


def test_a_silent_run_has_no_part() -> None:
    dead = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU())
    nn.init.constant_(dead[0].bias, -1e6)
    runs = [(m.eval(), torch.ones(1, 3, 4, 4)) for m in (dead, nn.Conv2d(3, 2, 1))]
    field = effective_field(runs)
    assert (field.silent, len(field.radii), field.map[2, 2]) == (1, 1, 1)


class Noisy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 2, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x) * torch.rand(1)


def test_nothing_is_moved_and_the_answer_is_the_same_each_time() -> None:
    model = nn.Sequential(Noisy(), nn.BatchNorm2d(2)).eval()
    before = {name: t.clone() for name, t in model.state_dict().items()}
    state = torch.get_rng_state()
    field = [field_of(model, 3, 6, 6, runs=2).map.tolist() for _ in range(2)]
    assert field[0] == field[1]
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("move", [lambda m: m, lambda m: m.to(memory_format=torch.channels_last)])
def test_a_model_that_was_moved_in_inference_mode_is_no_hindrance(move: Callable[[nn.Module], nn.Module]) -> None:
    model = NETWORKS["dilated"]().eval()
    expected = field_of(model, 3, 20, 20).map
    move(model)
    with torch.inference_mode():
        model.to(memory_format=torch.contiguous_format)
    assert field_of(model, 3, 20, 20).map == pytest.approx(expected, rel=1e-4)


def test_the_picture_adds_up_cells_and_is_json() -> None:
    shares = np.arange(130.0 * 70).reshape(130, 70)
    field = EffectiveField(shares / shares.sum(), (3.0,))
    facts = json.loads(json.dumps(field.facts(((0, 130), (0, 70)))))
    assert (facts["cell"], len(facts["map"]), len(facts["map"][0])) == (3, 44, 24)
    sums = [[shares[y : y + 3, x : x + 3].sum() for x in range(0, 70, 3)] for y in range(0, 130, 3)]
    assert np.array(facts["map"]) == pytest.approx(np.array(sums) / np.max(sums), abs=6e-5)
    assert facts["share_of_box"] == field.fraction_of(((0, 130), (0, 70)))
