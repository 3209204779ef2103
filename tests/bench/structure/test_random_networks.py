"""200 random networks against the oracle: corners, edges and centre of each, mask for mask."""

from __future__ import annotations

import numpy as np
import pytest
from random_networks import RandomNetwork
from structure_oracle import dependence, mask_of

from bench.metrics.receptive_field import receptive_field


@pytest.mark.parametrize("seed", range(200))
def test_masks_equal_the_oracle(seed: int) -> None:
    model = RandomNetwork(seed).double()
    shape = model.shapes[0][1:]
    moved = dependence(model, shape, draws=6)
    h, w = moved.shape[3:]
    for place in {(0, 0), (0, w - 1), (h - 1, 0), (h - 1, w - 1), (h // 2, 0), (0, w // 2), (h // 2, w // 2)}:
        field = receptive_field(model, shape, position=place)
        expected = mask_of(moved, 2, place)
        steps = [(kind, sources) for kind, sources, _ in model.plan]
        assert field.exact
        assert np.array_equal(field.mask, expected), f"at {place} of {steps}\n{field.mask * 1 - expected * 1}"
