"""Images and labels in IDX files (LeCun's format), of a few levels or binarised."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from bench.data.examples import Examples
from bench.data.levels import Pixels, quantised, stretched
from bench.data.locate import Files, not_found, present

SPLITS = {"train": "train", "test": "t10k"}
SIDE = 28
"""Height and width of the images, px."""
MOST_BYTES = 1 << 29
"""Bytes of the largest array that is read; the published ones take 47 MB."""
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
    names = [f"{SPLITS[split]}-{part}-ubyte" for part in ("images-idx3", "labels-idx1")]
    for home in homes:
        images, labels = (present([home / name, home / f"{name}.gz"]) for name in names)
        if images and labels:
            return Files(folder=home, lists=(), images=(images,), labels=(labels,))
    raise not_found(f"{name} ({split})", [home / names[0] for home in homes], licence, get)


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """An array of bytes from an IDX file, gzipped or not.

    The header states how much is to come, and no more than that is decompressed. Raises ValueError, with the file,
    where it is not such a file, is not as long as its header states, or states more than MOST_BYTES.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            shape = _shape(file.read)
            content = file.read(math.prod(shape) + 1)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise ValueError(f"{path}: no IDX file of bytes, or cut short: {error}") from None
    if len(content) != math.prod(shape):
        actual = "more" if len(content) > math.prod(shape) else f"{len(content):,}"
        raise ValueError(
            f"{path}: no IDX file of bytes, or cut short: its header states {math.prod(shape):,} bytes, {actual} follow"
        )
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)


def _shape(read: Callable[[int], bytes]) -> tuple[int, ...]:
    """The shape that the header states: two zeros, the type (8: unsigned bytes), the number of axes, their lengths."""
    start = read(4)
    if start[:3] != b"\x00\x00\x08" or start[3:] not in (b"\x01", b"\x02", b"\x03"):
        raise ValueError(f"it begins with {start.hex(' ') or 'nothing'}")
    lengths = read(4 * start[3])
    if len(lengths) < 4 * start[3]:
        raise ValueError("its header ends early")
    shape = tuple(int(length) for length in np.frombuffer(lengths, dtype=">u4"))
    if math.prod(shape) > MOST_BYTES:
        raise ValueError(f"its header states {math.prod(shape):,} bytes; at most {MOST_BYTES:,} are read")
    return shape


def _images_and_labels(files: Files, classes: int) -> tuple[Pixels, Pixels]:
    """Images (N, 28, 28) and labels (N,) of a split. Raises ValueError, with the file, where they do not fit."""
    (image_file,), (label_file,) = files.images, files.labels
    images, labels = read_idx(image_file), read_idx(label_file)
    if images.shape[1:] != (SIDE, SIDE) or not len(images):
        raise ValueError(f"{image_file}: an array of shape {images.shape}, not of N images of {SIDE} x {SIDE} px")
    if labels.shape != (len(images),):
        raise ValueError(f"{label_file}: labels of shape {labels.shape} for the {len(images)} images of {image_file}")
    if labels.max() >= classes:
        raise ValueError(f"{label_file}: {labels.max()} is no label (labels are 0 to {classes - 1})")
    return images, labels


def padded(images: Pixels, shape: tuple[int, int, int]) -> Pixels:
    """Images (N, 28, 28) in the middle of zeros: (N, 1, H, W). Raises ValueError where they do not fit."""
    channels, height, width = shape
    if channels != 1 or min(height, width) < SIDE:
        raise ValueError(f"these images have the shape [1, {SIDE}, {SIDE}], or are padded to more, not {list(shape)}")
    above, left = (height - SIDE) // 2, (width - SIDE) // 2
    margins = ((0, 0), (above, height - SIDE - above), (left, width - SIDE - left))
    return np.pad(images, margins)[:, None]


def examples(
    files: Files, split: str, shape: tuple[int, int, int], levels: int, binarisation: Binarisation, names: Sequence[str]
) -> Examples:
    """The split in memory, in `levels` equal bins; `dynamic`: each pixel is 1 with the probability of its grey level.

    Training examples of dynamic binarisation have `intensity`, from which the task draws anew; evaluation keeps one
    drawing. Raises ValueError for dynamic binarisation into other than two levels, or files that disagree.
    """
    import torch

    if binarisation == "dynamic" and levels != 2:
        raise ValueError(f"dynamic binarisation has 2 levels, not {levels}")
    images, labels = _images_and_labels(files, len(names))
    grey = padded(images, shape)
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
