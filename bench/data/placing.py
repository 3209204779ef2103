"""Random places in an image for objects that must not touch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from bench.data.synthetic import Grid

CANDIDATES = 64
ROUNDS = 50

Points = npt.NDArray[np.float64]
Clear = Callable[[Points, Points], Grid]
"""Which candidates (n, T, 2) keep clear of all placed objects (n, k, 2): (n, T)."""


def place(
    rng: np.random.Generator,
    count: int,
    objects: int,
    box: tuple[Points, Points],
    clear: Clear,
    rounds: int = ROUNDS,
) -> Points | None:
    """Random points (count, objects, 2) in `box`, uniform among those that are clear of the earlier ones.

    Images without a free candidate are drawn again; None where some remain after `rounds` rounds, or the box is empty.
    """
    if rounds == 0 or (box[1] <= box[0]).any():
        return None
    points = np.empty((count, objects, 2))
    stuck = np.zeros(count, dtype=bool)
    for k in range(objects):
        candidates = rng.uniform(*box, (count, CANDIDATES, 2))
        free = clear(candidates, points[:, :k])
        points[:, k] = candidates[np.arange(count), free.argmax(axis=1)]
        stuck |= ~free.any(axis=1)
    if stuck.any():
        again = place(rng, int(stuck.sum()), objects, box, clear, rounds - 1)
        if again is None:
            return None
        points[stuck] = again
    return points
