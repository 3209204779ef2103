"""The families in miniature against the oracle, mask for mask, over corners, edges, centre and phases."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from small_networks import NETWORKS, DeconvNet
from structure_oracle import dependence, mask_of
from torch import nn

from bench.metrics.receptive_field import receptive_field

SHAPE = (1, 16, 24)


def compare(model: nn.Module, shape: tuple[int, ...], moved: np.ndarray) -> None:
    h, w = moved.shape[3:]
    along = [sorted({0, 1, n // 2 - 1, n // 2, n // 2 + 1, n // 2 + 2, n - 1}) for n in (h, w)]
    for place in itertools.product(*along):
        field = receptive_field(model, shape, position=place)
        expected = mask_of(moved, 2, place)
        assert field.exact
        assert np.array_equal(field.mask, expected), f"at {place}\n{field.mask * 1 - expected * 1}"


@pytest.mark.parametrize("name", NETWORKS)
def test_masks_equal_the_oracle(name: str) -> None:
    model = NETWORKS[name]().double()
    compare(model, SHAPE, dependence(model, SHAPE, draws=6, batch=385))


def test_deconvnet() -> None:
    """Every index must once be chosen: many draws, on a small map."""
    model = DeconvNet().double()
    compare(model, (1, 8, 8), dependence(model, (1, 8, 8), draws=200, batch=65))


def test_cutting_squeeze_and_excitation_leaves_the_convolutions() -> None:
    make: Callable[[], nn.Module] = NETWORKS["squeeze and excitation"]
    assert receptive_field(make(), SHAPE).size is None
    assert receptive_field(make(), SHAPE, cut=("squeeze_excitation",)).size == 5
    assert receptive_field(make(), SHAPE).local.size == 5
