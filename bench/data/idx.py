"""Images and labels in IDX files (LeCun's format), of a few levels or binarised."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from bench.data.examples import Examples
from bench.data.levels import Pixels, quantised, stretched
from bench.data.locate import Files, not_found, present

SPLITS = {"train": "train", "test": "t10k"}
SIDE = 28
PALETTE = (
    (31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189),
    (140, 86, 75), (227, 119, 194), (127, 127, 127), (188, 189, 34), (23, 190, 207),
)  # fmt: skip

Binarisation = Literal["static", "dynamic"]


def idx_files(name: str, homes: Sequence[Path], split: str, licence: str, get: str) -> Files:
    """The image and the label file of a split, plain or gzipped, in the first folder that has them.

    Raises DataNotFound, ValueError for an unknown split.
    """
    if split not in SPLITS:
        raise ValueError(f"{name} has the splits {' and '.join(SPLITS)}, not '{split}'")
    wanted = [f"{SPLITS[split]}-{part}-ubyte" for part in ("images-idx3", "labels-idx1")]
    for home in homes:
        images, labels = (present([home / name, home / f"{name}.gz"]) for name in wanted)
        if images and labels:
            return Files(folder=home, lists=(), images=(images,), labels=(labels,))
    raise not_found(f"{name} ({split})", [home / wanted[0] for home in homes], licence, get)


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """An array of bytes from an IDX file, gzipped or not. Raises ValueError where it is none."""
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    axes = raw[3] if raw[:3] == b"\x00\x00\x08" else 0  # two zeros, the type (8: unsigned bytes), the number of axes
    start = 4 + 4 * axes
    shape = tuple(int(n) for n in np.frombuffer(raw[4:start], dtype=">u4")) if axes else ()
    if not axes or len(raw) - start != int(np.prod(shape)):
        raise ValueError(f"{path}: no IDX file of bytes, or cut short")
    return np.frombuffer(raw, dtype=np.uint8, offset=start).reshape(shape)


def padded(images: Pixels, shape: tuple[int, int, int]) -> Pixels:
    """Images (N, 28, 28) in the middle of zeros: (N, 1, H, W). Raises ValueError where they don't fit."""
    channels, height, width = shape
    if channels != 1 or min(height, width) < SIDE:
        raise ValueError(f"these images have the shape [1, {SIDE}, {SIDE}], or are padded to more, not {list(shape)}")
    above, left = (height - SIDE) // 2, (width - SIDE) // 2
    margins = ((0, 0), (above, height - SIDE - above), (left, width - SIDE - left))
    return np.pad(images, margins)[:, None]


def examples(
    found: Files, split: str, shape: tuple[int, int, int], levels: int, binarisation: Binarisation, names: Sequence[str]
) -> Examples:
    """The split in memory, in `levels` equal bins; `dynamic`: each pixel is 1 with its grey level's share.

    Training examples of dynamic binarisation have `intensity`, from which the task draws anew; evaluation keeps one
    drawing. Raises ValueError for dynamic binarisation into other than two levels, or files that disagree.
    """
    import torch

    if binarisation == "dynamic" and levels != 2:
        raise ValueError(f"dynamic binarisation has 2 levels, not {levels}")
    grey, labels = padded(read_idx(found.images[0]), shape), read_idx(found.labels[0])
    targets = {"labels": torch.from_numpy(labels.copy())}
    if binarisation == "dynamic":
        draw = np.random.default_rng(list(SPLITS).index(split)).random(grey.shape, dtype=np.float32)
        pixels = (draw < grey / np.float32(255)).astype(np.uint8)
        targets |= {"intensity": torch.from_numpy(grey)} if split == "train" else {}
    else:
        pixels = quantised(grey, levels)
    return Examples(
        images=torch.from_numpy(stretched(pixels, levels)),
        targets={"pixels": torch.from_numpy(pixels), **targets},
        names=tuple(names),
        ignore=None,
        palette=PALETTE,
    )
