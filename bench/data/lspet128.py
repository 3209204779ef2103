"""Crops of Leeds Sports Pose Extended: one person each, 128 x 128 px, 14 joints, with a split of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.data.crops import cropped
from bench.data.examples import Examples
from bench.data.leeds import NAMES, joints_file, located, people
from bench.data.locate import Files, refuse_missing
from bench.data.matlab import whole_numbers
from bench.data.skeleton import UNKNOWN, VISIBLE
from bench.registry import dataset

LICENCE = "research use; the images are Flickr's, each under its owner's terms"
GET = (
    "crops made of Leeds Sports Pose Extended: lspet128/ with images/im00001.jpg, ... of 128 x 128 px and joints.mat "
    "(joints 14 x 3 x N: x, y, visible in px of the crop; index: the number in the file's name; split: 0 train, 1 val)"
)
SIDE = 128
"""Width and height of a crop, px."""
SPLITS = ("train", "val")


@dataset(
    task="pose",
    licence=LICENCE,
    source="Johnson & Everingham 2011, CVPR; crops and split are not theirs",
    get=GET,
    requires={"joints": 14},
)
def lspet128(root: Path | None, split: str, shape: tuple[int, int, int]) -> Examples:
    """Acrobatic people in square crops, 14 joints, noisy labels; no published number is comparable.

    Resized to `shape` (C, H, W), without keeping the aspect. Joints without the file's flag count as not annotated.
    Raises DataNotFound, ValueError for another kind of joints.mat.
    """
    listed = files(root, split)
    (path,) = listed.lists
    contents = _contents(path)
    joints = contents["joints"][contents["split"] == SPLITS.index(split)]
    visible = np.where(joints[..., 2] == 1, VISIBLE, UNKNOWN).astype(np.uint8)
    whole = (0, 0, SIDE, SIDE)
    everyone = people(
        path, listed.images, joints[..., :2], visible, lambda places: whole, size=(SIDE, SIDE), unannotated=True
    )
    return cropped(everyone, NAMES, shape, source=path)


def _contents(path: Path) -> dict[str, np.ndarray]:
    """`joints` (N, 14, 3), `index` and `split` (N,) of a joints.mat. Raises ValueError, with the file, for others."""
    contents = joints_file(path)
    if not {"index", "split"} <= set(contents):
        raise ValueError(
            f"{path}: 'index' and 'split' are missing, so these are not lspet128's crops. To get them: {GET}"
        )
    try:
        index, split = (whole_numbers(contents[name], name) for name in ("index", "split"))
        _refuse_numbers(index, split, len(contents["joints"]))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return {"joints": contents["joints"], "index": index, "split": split}


def _refuse_numbers(index: np.ndarray, split: np.ndarray, count: int) -> None:
    if len(index) != count or len(split) != count:
        raise ValueError(f"joints of {count} people, but {len(index)} of 'index' and {len(split)} of 'split'")
    if not np.isin(split, range(len(SPLITS))).all():
        raise ValueError("'split' has other values than 0 (train) and 1 (val)")
    if (index < 0).any() or len(np.unique(index)) < count:
        raise ValueError("'index' names an image twice, or by a negative number")


def folders(root: Path) -> list[Path]:
    """The folders in which it is searched, below the data folder."""
    return [root / "lspet128"]


def files(root: Path | None, split: str) -> Files:
    """joints.mat and the images of a split. Raises DataNotFound."""
    path = located(f"lspet128 ({split})", folders(root) if root else [], LICENCE, GET)
    contents = _contents(path)
    numbers = contents["index"][contents["split"] == SPLITS.index(split)]
    images = tuple(path.parent / "images" / f"im{number:05d}.jpg" for number in numbers)
    refuse_missing(f"lspet128 ({split})", images, LICENCE, GET)
    return Files(folder=path.parent, lists=(path,), images=images, labels=())
