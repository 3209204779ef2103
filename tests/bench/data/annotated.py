"""Pictures whose joints can be seen, and Matlab structs, for trees of annotated people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def dots(path: Path, joints: np.ndarray, size: tuple[int, int]) -> None:
    """A black picture with a white square of 5 px about each joint, the first pixel being (0, 0)."""
    pixels = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    for x, y in np.rint(joints).astype(int):
        pixels[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=95)


def people(count: int, size: tuple[int, int], joints: int = 14) -> np.ndarray:
    rng = np.random.default_rng(count)
    return rng.integers(20, np.array(size) - 20, (count, joints, 2)).astype(np.float64)


def lit(loaded, image: int, joint: int) -> int:
    """How bright the picture is at the place of the joint."""
    x, y = loaded.targets["joints"][image, joint].round().long().tolist()
    return int(loaded.images[image, 0, y, x])


def struct(**fields):
    """A Matlab struct, as scipy writes one."""
    array = np.empty((1, 1), dtype=[(name, object) for name in fields])
    for name, value in fields.items():
        array[name][0, 0] = value
    return array


def row(structs):
    array = np.empty((1, len(structs)), dtype=structs[0].dtype)
    for i, entry in enumerate(structs):
        array[0, i] = entry[0, 0]
    return array
