"""Fields of the recorded network against the oracle's, mask for mask, operator by operator."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from structure_cases import CASES, CASES_1D, CASES_3D, SHAPE, UNPOOLS
from structure_oracle import dependence, mask_of
from torch import nn

from bench.metrics.receptive_field import receptive_field

ALL = [
    *((name, make, SHAPE) for name, make in CASES.items()),
    *((name, make, (2, 15)) for name, make in CASES_1D.items()),
    *((name, make, (2, 3, 6, 5)) for name, make in CASES_3D.items()),
    *((name, make, (1, 6, 5)) for name, make in UNPOOLS.items()),
]
# Any position of a pooling window must once be the one whose index is chosen.
DRAWS = dict.fromkeys(UNPOOLS, 300)


def places(sizes: Sequence[int]) -> list[tuple[int, ...]]:
    """Corners, edges, centre, and the positions next to the centre (other phases)."""
    along = [sorted({0, n // 2, min(n // 2 + 1, n - 1), n - 1}) for n in sizes]
    return list(itertools.product(*along))


@pytest.mark.parametrize(("name", "make", "shape"), ALL, ids=[name for name, _, _ in ALL])
def test_masks_equal_the_oracle(name: str, make: Callable[[], nn.Module], shape: tuple[int, ...]) -> None:
    model = make().double()
    moved = dependence(model, shape, draws=DRAWS.get(name, 6))
    space = len(shape) - 1
    sizes = moved.shape[space + 1 :]
    for place in places(sizes):
        field = receptive_field(model, shape, position=place)
        assert field.exact, field.inexact
        expected = mask_of(moved, space, place)
        assert np.array_equal(field.mask, expected), f"{name} at {place}\n{field.mask * 1 - expected * 1}"
