"""What the synthetic datasets share: random numbers by seed and split, and noisy colours, drawn with numpy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Grid = npt.NDArray[np.bool_]
Colour = tuple[int, int, int]

SPLITS = ("train", "val")
NOISE = 20
"""The largest difference of a painted pixel from its colour, of 255; uniform."""


def stream(seed: int, split: str) -> np.random.Generator:
    """A stream of random numbers of its own for each seed and split. Raises ValueError for an unknown split."""
    if split not in SPLITS:
        raise ValueError(f"a synthetic dataset has the splits {' and '.join(SPLITS)}, not '{split}'")
    return np.random.default_rng((seed, SPLITS.index(split)))


def noise(rng: np.random.Generator, count: int, shape: tuple[int, int, int]) -> Pixels:
    """Uniform from 0 to 2 * NOISE: uint8 (count, C, H, W)."""
    return rng.integers(0, 2 * NOISE + 1, (count, *shape), dtype=np.uint8)


def paint(noisy: Pixels, where: Sequence[Grid], colours: Sequence[Colour]) -> Pixels:
    """Add to `noisy` (N, C, H, W), in place, each colour where its mask (N, H, W) holds, less NOISE.

    A pixel's colour becomes the colour of its mask ± NOISE. Channel c of an image takes component c mod 3.
    Raises ValueError for a colour that noise could move out of 0 to 255.
    """
    if not all(NOISE <= component <= 255 - NOISE for colour in colours for component in colour):
        raise ValueError(f"components of colours lie between {NOISE} and {255 - NOISE}")
    for mask, colour in zip(where, colours, strict=True):
        for channel in range(noisy.shape[1]):
            noisy[:, channel] += mask * np.uint8(colour[channel % 3] - NOISE)
    return noisy
