from __future__ import annotations

import pytest
import torch

from bench.tasks.decodings import DECODINGS, argmax, blurred, dark, quarter, soft_argmax

SIZE = (13, 17)


def gaussians(centres: torch.Tensor, sigma: float = 1.2) -> torch.Tensor:
    """Maps (N, K, 13, 17) of a Gaussian about each centre (N, K, 2), x first, with a sum of 1."""
    y, x = torch.arange(SIZE[0]), torch.arange(SIZE[1])
    distance = (x - centres[..., 0, None, None]) ** 2 + (y[:, None] - centres[..., 1, None, None]) ** 2
    maps = (-distance / (2 * sigma**2)).exp()
    return maps / maps.sum((-2, -1), keepdim=True)


@pytest.fixture
def centres() -> torch.Tensor:
    draw = torch.rand(4, 5, 2, generator=torch.Generator().manual_seed(0))
    return torch.tensor([6.0, 5.0]) + draw * torch.tensor([4.0, 3.0])


def test_each_decoding_of_a_gaussian_comes_as_near_as_it_can(centres: torch.Tensor) -> None:
    maps = gaussians(centres)
    off = {name: (decode(maps) - centres).abs().max().item() for name, decode in DECODINGS.items()}
    assert off["argmax"] <= 0.5 + 1e-5
    assert off["quarter"] <= 0.25 + 1e-5
    assert off["dark"] <= 1e-3  # the logarithm of a blurred Gaussian is a parabola, so Newton's step is exact
    assert off["soft_argmax"] <= 1e-3
    assert off["argmax"] > 0.4
    assert off["quarter"] > 0.15


def test_argmax_is_x_then_y() -> None:
    maps = torch.zeros(1, 1, *SIZE)
    maps[0, 0, 2, 11] = 1
    assert argmax(maps).tolist() == [[[11.0, 2.0]]]


def test_a_quarter_goes_towards_the_larger_neighbour() -> None:
    maps = torch.zeros(1, 1, *SIZE)
    maps[0, 0, 5, 6], maps[0, 0, 5, 5], maps[0, 0, 6, 6] = 1.0, 0.5, 0.2
    assert quarter(maps).tolist() == [[[5.75, 5.25]]]


@pytest.mark.parametrize("decode", [quarter, dark])
def test_a_maximum_at_the_edge_stays(decode) -> None:
    for x, y in ((0, 4), (16, 4), (8, 0), (8, 12)):
        maps = gaussians(torch.tensor([[[float(x), float(y)]]]) + 0.3)
        if argmax(maps).tolist() == [[[float(x), float(y)]]]:
            assert decode(maps).tolist() == [[[float(x), float(y)]]]


def test_dark_stays_where_the_map_has_no_peak_and_never_leaves_by_more_than_a_cell() -> None:
    flat = torch.full((1, 1, *SIZE), 1 / (13 * 17))
    flat[0, 0, 6, 8] += 1e-9
    assert dark(flat).isfinite().all()
    rough = torch.rand(8, 6, *SIZE, generator=torch.Generator().manual_seed(1)) ** 8
    rough = rough / rough.sum((-2, -1), keepdim=True)
    assert (dark(rough) - argmax(rough)).abs().max() <= 1


def test_soft_argmax_is_the_mean_place() -> None:
    maps = torch.zeros(1, 1, *SIZE)
    maps[0, 0, 2, 4], maps[0, 0, 10, 12] = 0.25, 0.75
    assert soft_argmax(maps).tolist() == [[[10.0, 8.0]]]


def test_blurring_adds_the_variances(centres: torch.Tensor) -> None:
    again = blurred(gaussians(centres, 1.0), 0.75)
    assert torch.allclose(again, gaussians(centres, (1.0 + 0.75**2) ** 0.5), atol=2e-3)
