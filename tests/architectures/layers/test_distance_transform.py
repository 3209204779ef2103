"""Distance transforms against their definition: exact, with and without limit, their gradients, their cost."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from architectures.layers.distance_transform import softly_transformed, transformed
from bench.structure.costs import costs
from bench.structure.tape import record

SIZES = [(1, 1), (1, 6), (5, 9), (16, 13)]


def drawn(height: int, width: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Scores (2, 3, h, w), curvature and offset (3, 2): quarters and eighths, so that float64 knows no rounding."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(-40, 41, (2, 3, height, width), generator=generator) / 4
    curvature = torch.randint(1, 17, (3, 2), generator=generator) / 8
    offset = torch.randint(-24, 25, (3, 2), generator=generator) / 4
    return scores.double(), curvature.double(), offset.double()


def compared(scores: Tensor, curvature: Tensor, offset: Tensor, reach: int | None = None) -> Tensor:
    """f(x) less the spring, of every pair of places of each map: (N, E, h, w, h, w), from the first to the second."""
    y, x = (torch.arange(side, dtype=scores.dtype) for side in scores.shape[-2:])
    a, m = curvature.T[:, :, None, None], offset.T[:, :, None, None]
    way_x, way_y = x[None, :] - x[:, None], y[None, :] - y[:, None]
    cost_x, cost_y = a[0] * (way_x - m[0]) ** 2, a[1] * (way_y - m[1]) ** 2
    if reach is not None:
        cost_x, cost_y = (c.masked_fill(w.abs() > reach, torch.inf) for c, w in ((cost_x, way_x), (cost_y, way_y)))
    return scores[:, :, None, None] - cost_x[None, :, None, :, None, :] - cost_y[None, :, :, None, :, None]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("reach", [None, 0, 1, 4, 100])
def test_the_transform_is_the_maximum_over_all_places_exactly(size: tuple[int, int], reach: int | None) -> None:
    for seed in range(3):
        given = drawn(*size, seed)
        assert torch.equal(transformed(*given, reach), compared(*given, reach).amax((-2, -1)))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("reach", [None, 0, 2, 100])
def test_the_soft_transform_is_the_logarithm_of_the_sum(size: tuple[int, int], reach: int | None) -> None:
    given = drawn(*size)
    expected = compared(*given, reach).flatten(-2).logsumexp(-1)
    torch.testing.assert_close(softly_transformed(*given, reach), expected)


@pytest.mark.parametrize("reach", [None, 3])
def test_gradients_are_those_of_the_definition(reach: int | None) -> None:
    """Of scores without ties, so that the best place is one."""
    scores, curvature, offset = drawn(6, 7)
    scores = scores + torch.rand(scores.shape, generator=torch.Generator().manual_seed(1), dtype=torch.double)
    given = [tensor.requires_grad_() for tensor in (scores, curvature, offset)]
    weight = torch.rand(scores.shape, generator=torch.Generator().manual_seed(2), dtype=torch.double)
    found = torch.autograd.grad((transformed(*given, reach) * weight).sum(), given)
    expected = torch.autograd.grad((compared(*given, reach).amax((-2, -1)) * weight).sum(), given)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


class Transform(nn.Module):
    """As a network, to be recorded."""

    def __init__(self, reach: int | None) -> None:
        super().__init__()
        self.reach = reach
        self.curvature, self.offset = nn.Parameter(torch.ones(3, 2)), nn.Parameter(torch.zeros(3, 2))

    def forward(self, scores: Tensor) -> Tensor:
        return transformed(scores, self.curvature, self.offset, self.reach)


def operators(reach: int | None, side: int) -> tuple[float, int]:
    """(FLOPs a cell, how many operators run) on a map of side x side cells."""
    counted = costs(record(Transform(reach), (1, 3, side, side)))
    assert counted.coverage == 1.0
    return counted.flops / side**2, sum(operator.count for operator in counted.operators)


def test_a_limited_transform_costs_the_same_for_each_cell() -> None:
    assert operators(4, 96)[0] == pytest.approx(operators(4, 24)[0], rel=0.01)


def test_turns_of_the_envelope_grow_with_a_side_and_each_takes_a_number_for_each_line() -> None:
    """Operators grow as the side, elements of each as the other side: a constant share for each cell."""
    small, large = operators(None, 12), operators(None, 24)
    assert large[1] / small[1] == pytest.approx(2, rel=0.15)
    assert large[0] == pytest.approx(small[0], rel=0.15)
