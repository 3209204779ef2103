"""Pascal VOC segmentation: 20 kinds of objects and background, read through torchvision's loader."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from bench.data.examples import IGNORE, Examples
from bench.data.images import load_images, load_labels
from bench.data.locate import Files, not_found, present
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


@dataset(
    task="segmentation",
    licence=LICENCE,
    source="Everingham et al. 2010, International Journal of Computer Vision 88(2)",
    get=GET,
    requires={"classes": 21},
)
def voc(root: Path | None, split: str, shape: tuple[int, int, int], *, year: Literal[2012, 2007] = 2012) -> Examples:
    """Photographs, 20 classes and background, borders ignored; resized to `shape` (C, H, W), aspect not kept.

    Raises DataNotFound, ValueError for a label file with other values than 0 to 20 and 255.
    """
    import torch
    from torchvision.datasets import VOCSegmentation

    home = files(root, split, year=year).folder
    listed = VOCSegmentation(str(home), year=str(year), image_set=split, download=False)
    known = (*range(len(NAMES)), IGNORE)
    labels = load_labels([Path(path) for path in listed.masks], shape[1:], {value: value for value in known})
    images = load_images([Path(path) for path in listed.images], shape)
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
    """Where VOCdevkit may lie: in the data folder, or in a folder of its own there."""
    return [root, root / "voc", root / "VOC"]


def files(root: Path | None, split: str, *, year: int = 2012) -> Files:
    """The files of a split; `folder` is the one that holds VOCdevkit. Raises DataNotFound."""
    homes = folders(root) if root else []
    below = Path("VOCdevkit") / f"VOC{year}"
    lists = [home / below / "ImageSets" / "Segmentation" / f"{split}.txt" for home in homes]
    found = present(lists)
    if found is None:
        raise not_found(f"voc {year} ({split})", lists, LICENCE, GET)
    home = homes[lists.index(found)]
    names = found.read_text(encoding="utf-8").split()
    images = tuple(home / below / "JPEGImages" / f"{name}.jpg" for name in names)
    labels = tuple(home / below / "SegmentationClass" / f"{name}.png" for name in names)
    missing = [path for path in images + labels if not path.is_file()]
    if missing:
        raise not_found(f"voc {year} ({split})", missing[:1], LICENCE, GET)
    return Files(folder=home, lists=(found,), images=images, labels=labels)
