"""MPII Human Pose: people at everyday activities, 16 joints, in its original annotation file."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.crops import Person, centred, cropped
from bench.data.examples import Examples
from bench.data.locate import Files, not_found, present
from bench.data.skeleton import OCCLUDED, UNKNOWN, VISIBLE
from bench.registry import dataset

LICENCE = "research use (simplified BSD for the annotations); the images are taken from YouTube"
GET = (
    "fetch mpii_human_pose_v1.tar.gz and mpii_human_pose_v1_u12_2.zip of human-pose.mpi-inf.mpg.de and unpack them "
    "into mpii/ (images/, mpii_human_pose_v1_u12_1.mat)"
)
NAMES = (
    "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "pelvis", "thorax",
    "neck", "head_top", "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist",
)  # fmt: skip
FILE = "mpii_human_pose_v1_u12_1.mat"
HEIGHT, MARGIN = 200.0, 1.25
"""A person of scale 1 is so many px high; the box is this much larger, as published systems have it."""
HEAD_SHARE = 0.6
"""PCKh's head length as a part of the diagonal of the head's box (the authors' evaluation code)."""
HELD_OUT = 10
"""Every so manieth video is held out, so that no one's frames lie on both sides. The split is ours: the authors keep
the joints of their test images."""


@dataset(
    task="pose",
    licence=LICENCE,
    source="Andriluka et al. 2014, CVPR",
    get=GET,
    requires={"joints": 16},
)
def mpii(root: Path | None, split: str, shape: tuple[int, int, int]) -> Examples:
    """People at everyday activities in the box that their annotated place and scale give, 16 joints.

    `neck` is MPII's upper neck. Every person with joints and a scale, alone or not. A joint that the file gives
    no flag of visibility (those of the head) counts as visible. The split is ours, by video, so no published number
    is comparable. Resized to `shape` (C, H, W). Raises DataNotFound, ValueError for another format.
    """
    listed = files(root, split)
    chosen = _chosen(listed.lists[0], split)
    people = [_person(rect, listed.folder / "images" / name, shape) for name, rects in chosen for rect in rects]
    return cropped(people, NAMES, shape)


def _chosen(path: Path, split: str) -> list[tuple[str, list[Any]]]:
    held_out = split == "val"
    return [(name, rects) for name, video, rects in _annotations(path) if (video % HELD_OUT == 0) == held_out]


def _annotations(path: Path) -> list[tuple[str, int, list[Any]]]:
    """Of training images that show someone with joints: file name, number of the video, rectangles of these people."""
    return _parsed(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=2)
def _parsed(path: Path, date: int) -> list[tuple[str, int, list[Any]]]:
    from scipy.io import loadmat

    release = loadmat(str(path), squeeze_me=True, struct_as_record=False).get("RELEASE")
    if release is None or not hasattr(release, "annolist"):
        raise ValueError(f"{path}: no RELEASE.annolist, which MPII's annotation file has")
    images = zip(np.atleast_1d(release.annolist), np.atleast_1d(release.img_train), strict=True)
    shown = ((entry, list(_annotated(entry))) for entry, train in images if train)
    return [(str(entry.image.name), _video(entry, path), rects) for entry, rects in shown if rects]


def _video(entry: Any, path: Path) -> int:
    number = np.atleast_1d(getattr(entry, "vididx", []))
    if number.size != 1:
        raise ValueError(
            f"{path}: image {entry.image.name} has no vididx, the number of its video, which MPII's file has"
        )
    return int(number[0])


def _annotated(entry: Any) -> Iterator[Any]:
    for rect in np.atleast_1d(entry.annorect):
        scale = np.atleast_1d(getattr(rect, "scale", []))
        if scale.size == 1 and hasattr(getattr(rect, "objpos", None), "x") and _points(rect):
            yield rect


def _points(rect: Any) -> list[Any]:
    points = getattr(rect, "annopoints", None)
    return [] if points is None or not hasattr(points, "point") else list(np.atleast_1d(points.point))


def _person(rect: Any, image: Path, shape: tuple[int, int, int]) -> Person:
    """Coordinates come from Matlab, where the first pixel is (1, 1)."""
    joints, visible = np.zeros((len(NAMES), 2)), np.full(len(NAMES), UNKNOWN, dtype=np.uint8)
    for point in _points(rect):
        joints[int(point.id)] = float(point.x) - 1, float(point.y) - 1
        visible[int(point.id)] = _flag(point)
    side = HEIGHT * float(rect.scale)
    centre = np.array([float(rect.objpos.x), float(rect.objpos.y)]) - 1
    head = HEAD_SHARE * float(np.hypot(rect.x2 - rect.x1, rect.y2 - rect.y1))
    return Person(image, centred(centre, np.array([side, side]), shape, MARGIN), joints, visible, head)


def _flag(point: Any) -> int:
    told = np.atleast_1d(getattr(point, "is_visible", []))
    return VISIBLE if told.size == 0 or int(told[0]) == 1 else OCCLUDED


def folders(root: Path) -> list[Path]:
    """Where it may lie below the data folder."""
    return [root / "mpii", root / "MPII"]


def files(root: Path | None, split: str) -> Files:
    """The annotation file and the images of a split. Raises DataNotFound."""
    homes = folders(root) if root else []
    lists = [home / below / FILE for home in homes for below in (".", "annotations", "mpii_human_pose_v1_u12_2")]
    found = present(lists)
    if found is None:
        raise not_found(f"mpii ({split})", lists, LICENCE, GET)
    home = next(home for home in homes if home in found.parents)
    images = tuple(home / "images" / name for name, _ in _chosen(found, split))
    missing = [path for path in images if not path.is_file()]
    if missing:
        raise not_found(f"mpii ({split})", missing[:1], LICENCE, GET)
    return Files(folder=home, lists=(found,), images=images, labels=())
