"""Image and label files read into arrays of one size, by a pool of threads (Pillow releases the lock)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
MODES = {1: "L", 3: "RGB"}


def load_images(paths: Sequence[Path], shape: tuple[int, int, int]) -> Pixels:
    """Images resized to (C, H, W) by antialiased bilinear interpolation: uint8 (N, C, H, W).

    Raises ValueError for a number of channels other than 1 and 3, OSError for an unreadable file.
    """
    channels, height, width = shape
    if channels not in MODES:
        raise ValueError(f"image files have 1 or 3 channels, not {channels}")
    loaded = _stack(partial(_image, mode=MODES[channels], size=(width, height)), paths)
    return np.ascontiguousarray(loaded.reshape(len(paths), height, width, channels).transpose(0, 3, 1, 2))


def load_labels(paths: Sequence[Path], size: tuple[int, int], meaning: Mapping[int, int]) -> Pixels:
    """Label files resized to `size` (H, W), each by its nearest pixel: uint8 (N, H, W).

    `meaning` maps the values that a file may hold to labels. Raises ValueError for a file with another
    value or that is no picture of one 8-bit channel, OSError for an unreadable one.
    """
    return _stack(partial(_labels, size=(size[1], size[0]), meaning=meaning), paths)


def _stack(read: Callable[[Path], Pixels], paths: Sequence[Path]) -> Pixels:
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return np.stack(list(pool.map(read, paths)))


def _image(path: Path, mode: str, size: tuple[int, int]) -> Pixels:
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert(mode).resize(size, Image.Resampling.BILINEAR))


def _labels(path: Path, size: tuple[int, int], meaning: Mapping[int, int]) -> Pixels:
    from PIL import Image

    with Image.open(path) as image:
        if image.mode not in ("L", "P"):
            raise ValueError(f"{path}: labels are pictures of one 8-bit channel, not of mode {image.mode}")
        values: npt.NDArray[Any] = np.asarray(image.resize(size, Image.Resampling.NEAREST))
    unknown = np.setdiff1d(values, list(meaning))
    if unknown.size:
        raise ValueError(f"{path}: {unknown[0]} is no label (labels are {min(meaning)} to {max(meaning)})")
    table = np.zeros(256, dtype=np.uint8)
    table[list(meaning)] = list(meaning.values())
    labels: Pixels = table[values]
    return labels
