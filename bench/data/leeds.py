"""What Leeds Sports Pose and its extension share: the names of the joints, and the file joints.mat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.data.crops import Box, Person
from bench.data.locate import not_found, present
from bench.data.matlab import brief, variables
from bench.data.people import refuse_unplaced

NAMES = (
    "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle",
    "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist",
    "neck", "head_top",
)  # fmt: skip
FILE = "joints.mat"


def joints_file(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The variables of a joints.mat; `joints` as float64 (N, 14, 3), whichever way round the file has it.

    The third of each row is a flag, 0 or 1. Raises ValueError, with the file, where there are no such joints.
    """
    contents = variables(path)
    joints: Any = contents.get("joints")
    if not _is_joints(joints):
        actual = "no 'joints'" if joints is None else f"joints that are {brief(joints)}"
        raise ValueError(f"{path}: expected joints of 14 x 3 (or 3 x 14) x N, but there is {actual}")
    order = (2, 0, 1) if joints.shape[0] == 14 else (2, 1, 0)
    joints = joints.transpose(order).astype(np.float64)
    _refuse_flags(path, joints[..., 2])
    return {**contents, "joints": joints}


def _is_joints(joints: Any) -> bool:
    if not isinstance(joints, np.ndarray) or joints.dtype.kind not in "biuf" or joints.ndim != 3:
        return False
    return {14, 3} == set(joints.shape[:2]) and joints.shape[2] > 0


def _refuse_flags(path: Path, flags: npt.NDArray[Any]) -> None:
    wrong = np.argwhere((flags != 0) & (flags != 1))
    if len(wrong):
        person, joint = wrong[0]
        raise ValueError(
            f"{path}: the flag of person {person + 1}'s {NAMES[joint]} is {flags[person, joint]:g}; flags are 0 or 1"
        )


def located(name: str, folders: list[Path], licence: str, get: str) -> Path:
    """The joints.mat of a dataset. Raises DataNotFound."""
    candidates = [folder / FILE for folder in folders]
    path = present(candidates)
    if path is None:
        raise not_found(name, candidates, licence, get)
    return path


def from_one(joints: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Places (N, 14, 2) of rows x, y, flag. The files come from Matlab, whose first pixel is (1, 1).

    We assume that this holds for these coordinates too; their notes do not state it. It makes a difference of one
    pixel.
    """
    return joints[..., :2] - 1


def people(
    path: Path,
    images: Sequence[Path],
    joints: npt.NDArray[Any],
    visible: npt.NDArray[np.uint8],
    box: Callable[[npt.NDArray[Any]], Box],
    size: tuple[int, int] | None = None,
    unannotated: bool = False,
) -> list[Person]:
    """A person for every image that has an annotated joint, or for every image (`unannotated`).

    `box` gives a person's box from the places (k, 2) of the annotated joints. `size` is the width and height that the
    images must have. Raises ValueError, with the joints.mat at `path` and the image, for an annotated joint without a
    place (`bench.data.people.refuse_unplaced`).
    """
    everyone = []
    for image, places, flags in zip(images, joints, visible, strict=True):
        annotated = places[flags > 0]
        refuse_unplaced(annotated, f"{path}: an annotated joint of {image.name}")
        if len(annotated) or unannotated:
            source = f"its annotation in {path}"
            everyone.append(Person(image, box(annotated), places, flags, size=size, source=source))
    return everyone
