"""Images of a few levels: the data of generative models, which are evaluated by the probability of exact values."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


def stretched(pixels: Pixels, levels: int) -> Pixels:
    """Levels 0 to levels - 1 as bytes 0 to 255, rounded, as images hold them."""
    return np.round(pixels * (255.0 / (levels - 1))).astype(np.uint8)


def quantised(images: Pixels, levels: int) -> Pixels:
    """Bytes in `levels` bins of equal width: floor(byte * levels / 256). Two levels: bytes from 128 on are 1."""
    return (images.astype(np.uint16) * levels // 256).astype(np.uint8)
