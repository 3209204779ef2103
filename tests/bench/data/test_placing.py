from __future__ import annotations

import numpy as np

from bench.data.placing import place

BOX = (np.array([2.0, 5.0]), np.array([30.0, 40.0]))


def farther_than(gap):
    def clear(candidates, placed):
        return np.all(np.linalg.norm(candidates[:, :, None] - placed[:, None], axis=-1) > gap, axis=-1)

    return clear


def test_points_lie_in_the_box_and_clear_of_each_other():
    points = place(np.random.default_rng(0), 50, 4, BOX, farther_than(12))
    assert points.shape == (50, 4, 2)
    assert (points >= BOX[0]).all()
    assert (points <= BOX[1]).all()
    gaps = np.linalg.norm(points[:, :, None] - points[:, None], axis=-1)[:, ~np.eye(4, dtype=bool)]
    assert gaps.min() > 12


def test_a_lone_point_is_uniform():
    points = place(np.random.default_rng(1), 4000, 1, BOX, farther_than(12))[:, 0]
    fractions = (points - BOX[0]) / (BOX[1] - BOX[0])
    for axis in range(2):
        assert np.abs(np.histogram(fractions[:, axis], 8, (0, 1))[0] / 4000 - 1 / 8).max() < 0.02


def test_what_does_not_fit_gives_nothing():
    assert place(np.random.default_rng(0), 3, 9, BOX, farther_than(40)) is None
    assert place(np.random.default_rng(0), 3, 1, (BOX[1], BOX[0]), farther_than(1)) is None
