"""Pascal VOC segmentation: 20 kinds of objects and background, in the layout of its development kit."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from bench.data.examples import IGNORE, Examples
from bench.data.images import load_pairs
from bench.data.lists import inside, read_lines, refuse_repeated
from bench.data.locate import Files, not_found, present, refuse_missing
from bench.registry import dataset

LICENCE = "research use; the images are Flickr's, each under its owner's terms"
GET = (
    "torchvision.datasets.VOCSegmentation(DATA, year='2012', download=True), or unpack VOCtrainval_11-May-2012.tar "
    "of host.robots.ox.ac.uk/pascal/VOC so that the data folder holds VOCdevkit/VOC2012"
)
NAMES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
PARTS = (("JPEGImages", "jpg"), ("SegmentationClass", "png"))
"""Folders of images and of labels, and how their files end."""


@dataset(
    task="segmentation",
    licence=LICENCE,
    source="Everingham et al. 2010, International Journal of Computer Vision 88(2)",
    get=GET,
    requires={"classes": 21},
)
def voc(root: Path | None, split: str, shape: tuple[int, int, int], *, year: Literal[2012, 2007] = 2012) -> Examples:
    """Photographs, 20 classes and background, borders ignored; resized to `shape` (C, H, W), aspect ignored.

    Raises DataNotFound, and ValueError for a label file with other values than 0 to 20 and 255, of another size than
    its image, or whose palette has the colours of other labels, and for a file that cannot be read.
    """
    import torch

    listed = files(root, split, year=year)
    meaning = {v: v for v in (*range(len(NAMES)), IGNORE)}
    colours = {v: _colour(v) for v in meaning}
    images, labels = load_pairs(listed.images, listed.labels, shape, meaning, colours)
    return Examples(
        images=torch.from_numpy(images),
        targets={"labels": torch.from_numpy(labels)},
        names=NAMES,
        ignore=IGNORE,
        palette=tuple(_colour(label) for label in range(len(NAMES))),
    )


def _colour(label: int) -> tuple[int, int, int]:
    """VOC's own colours: bit 3k + c of the label is bit 7 - k of channel c."""
    bits = (np.right_shift(label, 3 * np.arange(8)[:, None] + np.arange(3)) & 1) << np.arange(7, -1, -1)[:, None]
    red, green, blue = (int(channel) for channel in bits.sum(axis=0))
    return red, green, blue


def folders(root: Path) -> list[Path]:
    """The folders in which VOCdevkit is searched: the data folder, and a folder of its own there."""
    return [root, root / "voc", root / "VOC"]


def files(root: Path | None, split: str, *, year: int = 2012) -> Files:
    """The files of a split; `folder` is the one that holds VOCdevkit. Raises DataNotFound, ValueError."""
    homes = folders(root) if root else []
    below = Path("VOCdevkit") / f"VOC{year}"
    candidates = [home / below / "ImageSets" / "Segmentation" / f"{split}.txt" for home in homes]
    path = present(candidates)
    if path is None:
        raise not_found(f"voc {year} ({split})", candidates, LICENCE, GET)
    home, lines = homes[candidates.index(path)], read_lines(path)
    if not lines:
        raise ValueError(f"{path}: the list is empty: expected the name of an image on every line")
    images, labels = [], []
    for line in lines:
        image, label = (inside(home / below / kind, f"{line.text}.{end}") for kind, end in PARTS)
        if image is None or label is None:
            raise line.refuse("expected the name of an image below the folder")
        refuse_missing(f"voc {year} ({split}, line {line.number} of {path.name})", (image, label), LICENCE, GET)
        images.append(image)
        labels.append(label)
    refuse_repeated(lines, images)
    return Files(folder=home, lists=(path,), images=tuple(images), labels=tuple(labels))
