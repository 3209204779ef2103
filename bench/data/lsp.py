"""Leeds Sports Pose: 2,000 people at sports, 14 joints, in its original layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.data.crops import around, cropped
from bench.data.examples import Examples
from bench.data.leeds import NAMES, from_one, joints_file, located, people
from bench.data.locate import Files, refuse_missing
from bench.data.skeleton import OCCLUDED, VISIBLE
from bench.registry import dataset

LICENCE = "research use; the images are Flickr's, each under its owner's terms"
GET = (
    "unpack lsp_dataset_original.zip (or lsp_dataset.zip) of the authors into lsp/ (joints.mat, images/im0001.jpg, ...)"
)
HALF = 1000
"""The authors train on the first half of the images and test on the second."""


@dataset(
    task="pose",
    licence=LICENCE,
    source="Johnson & Everingham 2010, BMVC",
    get=GET,
    splits=("train", "test"),
    requires={"joints": 14},
)
def lsp(root: Path | None, split: str, shape: tuple[int, int, int]) -> Examples:
    """People at sports, each in a box about the annotated joints, 14 person-centric joints, resized to `shape`.

    The third row of the file's joints is 1 where a joint is occluded (the extension has it the other way round).
    Raises DataNotFound, ValueError for another kind of joints.mat.
    """
    listed = files(root, split)
    (path,) = listed.lists
    joints = joints_file(path)["joints"][_rows(split)]
    visible = np.where(joints[..., 2] == 0, VISIBLE, OCCLUDED).astype(np.uint8)
    everyone = people(path, listed.images, from_one(joints), visible, lambda places: around(places, shape))
    return cropped(everyone, NAMES, shape, source=path)


def _rows(split: str) -> slice:
    return slice(0, HALF) if split == "train" else slice(HALF, 2 * HALF)


def folders(root: Path) -> list[Path]:
    """The folders in which it is searched, below the data folder."""
    return [root / name for name in ("lsp", "LSP", "lsp_dataset_original", "lsp_dataset")]


def files(root: Path | None, split: str) -> Files:
    """joints.mat and the images of a split. Raises DataNotFound, ValueError for another number of people."""
    path = located(f"lsp ({split})", folders(root) if root else [], LICENCE, GET)
    count = len(joints_file(path)["joints"])
    if count != 2 * HALF:
        raise ValueError(f"{path}: the joints of {count} people, not of {2 * HALF}. To get the dataset: {GET}")
    numbers = range(1, count + 1)[_rows(split)]
    images = tuple(path.parent / "images" / f"im{number:04d}.jpg" for number in numbers)
    refuse_missing(f"lsp ({split})", images, LICENCE, GET)
    return Files(folder=path.parent, lists=(path,), images=images, labels=())
