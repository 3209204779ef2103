"""MPII Human Pose: people at everyday activities, 16 joints, in its original annotation file."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.data.crops import Person, centred, cropped
from bench.data.examples import Examples
from bench.data.lists import inside
from bench.data.locate import Files, not_found, present, refuse_missing
from bench.data.matlab import brief, number, variables
from bench.data.people import refuse_unplaced
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
HEAD_FRACTION = 0.6
"""PCKh's head length as a fraction of the diagonal of the head's box (the authors' evaluation code)."""
HELD_OUT = 10
"""Every video whose number is a multiple of this is held out, so that no video has frames in both splits. The split is
ours: the authors do not publish the joints of their test images."""


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
    (path,) = listed.lists
    images = listed.folder / "images"
    chosen = [person for person in _annotations(path) if _is_held_out(person) == (split == "val")]
    return cropped(
        [_person(each, images, shape, f"its annotation in {path}") for each in chosen], NAMES, shape, source=path
    )


@dataclass(frozen=True)
class _Annotation:
    """A person with joints: file name and video of the image, place and scale, length of the head, joints and flags."""

    image: str
    video: int
    place: tuple[float, float]
    scale: float
    head: float
    joints: npt.NDArray[np.float64]
    visible: npt.NDArray[np.uint8]


def _is_held_out(person: _Annotation) -> bool:
    return person.video % HELD_OUT == 0


def _annotations(path: Path) -> tuple[_Annotation, ...]:
    """The people with joints, place and scale in the training images, in the order of the file."""
    return _parsed(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=2)
def _parsed(path: Path, date: int) -> tuple[_Annotation, ...]:
    release: Any = variables(path, squeeze_me=True, struct_as_record=False).get("RELEASE")
    if not hasattr(release, "annolist") or not hasattr(release, "img_train"):
        raise ValueError(f"{path}: no RELEASE.annolist and RELEASE.img_train, which MPII's annotation file has")
    entries, trained = np.atleast_1d(release.annolist), np.atleast_1d(release.img_train)
    if entries.shape != trained.shape or entries.ndim != 1:
        raise ValueError(f"{path}: RELEASE.annolist is {brief(entries)}, RELEASE.img_train {brief(trained)}")
    people: list[_Annotation] = []
    for position in np.flatnonzero(trained):
        try:
            people += _people_of(entries[position])
        except ValueError as error:
            raise ValueError(f"{path}: RELEASE.annolist({position + 1}): {error}") from None
    return tuple(people)


def _people_of(entry: Any) -> list[_Annotation]:
    """The people of an image; raises ValueError where image, video or one of them lacks something."""
    rectangles = [rect for rect in np.atleast_1d(getattr(entry, "annorect", [])) if _is_annotated(rect)]
    if not rectangles:
        return []
    name = getattr(getattr(entry, "image", None), "name", None)
    if inside(Path(), name) is None:
        raise ValueError(f"'image.name' is {brief(name)}, not the name of a file")
    if np.atleast_1d(getattr(entry, "vididx", [])).size != 1:
        raise ValueError(f"image {name} has no vididx, the number of its video, which MPII's file has")
    video = int(number(entry.vididx, "vididx"))
    return [_annotation(rect, str(name), video) for rect in rectangles]


def _is_annotated(rect: Any) -> bool:
    placed = hasattr(getattr(rect, "objpos", None), "x")
    return placed and np.atleast_1d(getattr(rect, "scale", [])).size == 1 and bool(_points(rect))


def _points(rect: Any) -> list[Any]:
    points: Any = getattr(rect, "annopoints", None)
    return list(np.atleast_1d(points.point)) if hasattr(points, "point") else []


def _annotation(rect: Any, image: str, video: int) -> _Annotation:
    """Coordinates come from Matlab, where the first pixel is (1, 1)."""
    joints, visible = np.zeros((len(NAMES), 2)), np.full(len(NAMES), UNKNOWN, dtype=np.uint8)
    for point in _points(rect):
        joint = number(_field(point, "id"), "id")
        if joint not in range(len(NAMES)):
            raise ValueError(f"image {image}: 'id' of a joint is {joint:g}; joints are 0 to {len(NAMES) - 1}")
        joints[int(joint)] = [number(_field(point, axis), axis) - 1 for axis in "xy"]
        visible[int(joint)] = _flag(point)
    refuse_unplaced(joints)
    left, top, right, bottom = (number(_field(rect, corner), corner) for corner in ("x1", "y1", "x2", "y2"))
    x, y = (number(_field(rect.objpos, axis), f"objpos.{axis}") - 1 for axis in "xy")
    scale = number(rect.scale, "scale")
    if scale <= 0:
        raise ValueError(f"image {image}: 'scale' is {scale:g}, not above 0")
    head = HEAD_FRACTION * float(np.hypot(right - left, bottom - top))
    return _Annotation(image, video, (x, y), scale, head, joints, visible)


def _field(owner: Any, name: str) -> Any:
    if not hasattr(owner, name):
        raise ValueError(f"there is no field '{name}'")
    return getattr(owner, name)


def _flag(point: Any) -> int:
    """The flag of a joint, which the file has as a number or as text, or not at all."""
    values = np.atleast_1d(getattr(point, "is_visible", []))
    if values.size == 0:
        return VISIBLE
    try:
        return VISIBLE if int(values.reshape(-1)[0]) == 1 else OCCLUDED
    except (TypeError, ValueError):
        raise ValueError(f"'is_visible' is {brief(point.is_visible)}, not 0 or 1") from None


def _person(annotation: _Annotation, images: Path, shape: tuple[int, int, int], source: str) -> Person:
    side = HEIGHT * annotation.scale
    box = centred(np.array(annotation.place), np.array([side, side]), shape, MARGIN)
    file = images / annotation.image
    return Person(file, box, annotation.joints, annotation.visible, annotation.head, source=source)


def folders(root: Path) -> list[Path]:
    """The folders in which it is searched, below the data folder."""
    return [root / "mpii", root / "MPII"]


def files(root: Path | None, split: str) -> Files:
    """The annotation file and the images of a split. Raises DataNotFound, ValueError."""
    homes = folders(root) if root else []
    candidates = [home / below / FILE for home in homes for below in (".", "annotations", "mpii_human_pose_v1_u12_2")]
    path = present(candidates)
    if path is None:
        raise not_found(f"mpii ({split})", candidates, LICENCE, GET)
    home = next(home for home in homes if home in path.parents)
    chosen = (person.image for person in _annotations(path) if _is_held_out(person) == (split == "val"))
    images = tuple(home / "images" / name for name in dict.fromkeys(chosen))
    refuse_missing(f"mpii ({split})", images, LICENCE, GET)
    return Files(folder=home, lists=(path,), images=images, labels=())
