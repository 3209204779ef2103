"""Leeds Sports Pose Extended: 10,000 acrobats, gymnasts and traceurs, 14 joints, in its original layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.data.crops import around, cropped
from bench.data.examples import Examples
from bench.data.leeds import NAMES, from_one, joints_file, located, people
from bench.data.locate import Files, not_found, refuse_missing
from bench.data.skeleton import UNKNOWN, VISIBLE
from bench.registry import dataset

LICENCE = "research use; the images are Flickr's, each under its owner's terms"
GET = "unpack lspet_dataset.zip of the authors into lspet/ (joints.mat, images/im00001.jpg, ...)"
HELD_OUT = 10
"""Every image whose number is a multiple of this is held out. The split is ours: the authors only train on this set."""


@dataset(
    task="pose",
    licence=LICENCE,
    source="Johnson & Everingham 2011, CVPR",
    get=GET,
    requires={"joints": 14},
)
def lspet(root: Path | None, split: str, shape: tuple[int, int, int]) -> Examples:
    """Acrobatic people, each in a box about the annotated joints, 14 joints, noisy labels; resized to `shape`.

    The third row of the file's joints is 1 where a joint is visible; the places of others mean nothing and
    count as not annotated. Raises DataNotFound, ValueError for another kind of joints.mat.
    """
    listed = files(root, split)
    (path,) = listed.lists
    joints = joints_file(path)["joints"]
    joints = joints[_rows(split, len(joints))]
    visible = np.where(joints[..., 2] == 1, VISIBLE, UNKNOWN).astype(np.uint8)
    everyone = people(path, listed.images, from_one(joints), visible, lambda places: around(places, shape))
    return cropped(everyone, NAMES, shape, source=path)


def _rows(split: str, count: int) -> np.ndarray:
    held_out = np.arange(count) % HELD_OUT == HELD_OUT - 1
    return np.flatnonzero(held_out if split == "val" else ~held_out)


def folders(root: Path) -> list[Path]:
    """The folders in which it is searched, below the data folder."""
    return [root / name for name in ("lspet", "LSPET", "lspet_dataset")]


def files(root: Path | None, split: str) -> Files:
    """joints.mat and the images of a split. Raises DataNotFound."""
    path = located(f"lspet ({split})", folders(root) if root else [], LICENCE, GET)
    numbers = _rows(split, len(joints_file(path)["joints"])) + 1
    images = tuple(path.parent / "images" / f"im{number:05d}.jpg" for number in numbers)
    if not images:
        raise not_found(f"lspet ({split})", [path.parent / "images"], LICENCE, GET)
    refuse_missing(f"lspet ({split})", images, LICENCE, GET)
    return Files(folder=path.parent, lists=(path,), images=images, labels=())
