"""Crops of Leeds Sports Pose Extended: one person each, 128 x 128 px, 14 joints, with a split of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.data.crops import Person, cropped
from bench.data.examples import Examples
from bench.data.leeds import NAMES, joints_file, located
from bench.data.locate import Files, not_found
from bench.data.skeleton import UNKNOWN, VISIBLE
from bench.registry import dataset

LICENCE = "research use; the images are Flickr's, each under its owner's terms"
GET = (
    "crops made of Leeds Sports Pose Extended: lspet128/ with images/im00001.jpg, ... of 128 x 128 px and joints.mat "
    "(joints 14 x 3 x N: x, y, visible in px of the crop; index: the number in the file's name; split: 0 train, 1 val)"
)
SIDE = 128


@dataset(
    task="pose",
    licence=LICENCE,
    source="Johnson & Everingham 2011, CVPR; crops and split are not theirs",
    get=GET,
    requires={"joints": 14},
)
def lspet128(root: Path | None, split: str, shape: tuple[int, int, int]) -> Examples:
    """Acrobatic people in square crops, 14 joints, noisy labels; no published number is comparable.

    Resized to `shape` (C, H, W), aspect not kept. Joints without the file's flag count as not annotated.
    Raises DataNotFound, ValueError for another kind of joints.mat.
    """
    listed = files(root, split)
    held = _listed(listed.lists[0])
    joints = held["joints"][_chosen(held, split)]
    visible = np.where(joints[..., 2] == 1, VISIBLE, UNKNOWN).astype(np.uint8)
    whole = (0, 0, SIDE, SIDE)
    people = zip(listed.images, joints[..., :2], visible, strict=True)
    return cropped([Person(path, whole, xy, flags) for path, xy, flags in people], NAMES, shape)


def _listed(path: Path) -> dict[str, np.ndarray]:
    held = joints_file(path)
    if not {"index", "split"} <= set(held):
        raise ValueError(
            f"{path}: 'index' and 'split' are missing, so these are not lspet128's crops. To get them: {GET}"
        )
    return held


def _chosen(held: dict[str, np.ndarray], split: str) -> np.ndarray:
    rows: np.ndarray = held["split"].reshape(-1) == ("train", "val").index(split)
    return rows


def folders(root: Path) -> list[Path]:
    """Where it may lie below the data folder."""
    return [root / "lspet128"]


def files(root: Path | None, split: str) -> Files:
    """joints.mat and the images of a split. Raises DataNotFound."""
    listed = located(f"lspet128 ({split})", folders(root) if root else [], LICENCE, GET)
    held = _listed(listed)
    numbers = held["index"].reshape(-1)[_chosen(held, split)]
    images = tuple(listed.parent / "images" / f"im{number:05d}.jpg" for number in numbers)
    missing = [path for path in images if not path.is_file()]
    if missing:
        raise not_found(f"lspet128 ({split})", missing[:1], LICENCE, GET)
    return Files(folder=listed.parent, lists=(listed,), images=images, labels=())
