"""What Leeds Sports Pose and its extension share: the names of the joints, and joints.mat."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.data.crops import Person, around
from bench.data.locate import not_found, present

NAMES = (
    "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle",
    "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist",
    "neck", "head_top",
)  # fmt: skip
FILE = "joints.mat"


def joints_file(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The variables of a joints.mat; `joints` as (N, 14, 3), whichever way round the file has it.

    Raises ValueError where there are no joints of that kind.
    """
    from scipy.io import loadmat

    held = loadmat(str(path))
    joints = held.get("joints")
    if joints is None or joints.ndim != 3 or {14, 3} != set(joints.shape[:2]):
        found = "no 'joints'" if joints is None else f"joints of shape {joints.shape}"
        raise ValueError(f"{path}: expected joints of 14 x 3 (or 3 x 14) x N, found {found}")
    order = (2, 0, 1) if joints.shape[0] == 14 else (2, 1, 0)
    return {**held, "joints": joints.transpose(order).astype(np.float64)}


def located(name: str, folders: list[Path], licence: str, get: str) -> Path:
    """The joints.mat of a dataset. Raises DataNotFound."""
    candidates = [folder / FILE for folder in folders]
    found = present(candidates)
    if found is None:
        raise not_found(name, candidates, licence, get)
    return found


def from_one(joints: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Places (N, 14, 2) of rows x, y, flag. The files come from Matlab, whose first pixel is (1, 1).

    That this holds for these coordinates too is our reading; their notes do not say. It is worth one pixel.
    """
    return joints[..., :2] - 1


def people(
    images: list[Path], joints: npt.NDArray[Any], visible: npt.NDArray[np.uint8], shape: tuple[int, int, int]
) -> list[Person]:
    """A person for every image, in the box about the annotated joints; who has none is left out."""
    whole = zip(images, joints, visible, strict=True)
    return [Person(path, around(xy[flags > 0], shape), xy, flags) for path, xy, flags in whole if (flags > 0).any()]
