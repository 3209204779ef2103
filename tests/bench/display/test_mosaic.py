from __future__ import annotations

import numpy as np

from bench.display.mosaic import mosaic


def test_a_mosaic_has_every_picture_in_its_place():
    pictures = np.arange(6, dtype=np.uint8).reshape(2, 3, 1, 1, 1).repeat(4, axis=2).repeat(5, axis=3)
    whole = mosaic(pictures)
    assert whole.shape == (4 + 1 + 4, 5 + 1 + 5 + 1 + 5, 3)
    assert [int(whole[2, x, 0]) for x in (0, 5, 6, 12)] == [0, 255, 1, 2]
    assert (whole[5:, :5] == 3).all()
    assert (whole[4] == 255).all()
