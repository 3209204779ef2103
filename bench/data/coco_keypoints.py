"""COCO keypoints: people in everyday scenes, 17 joints, in COCO's own annotation format."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.crops import Person, centred, cropped
from bench.data.examples import Examples
from bench.data.locate import Files, not_found, present
from bench.registry import dataset

LICENCE = "annotations CC BY 4.0; the images are Flickr's, each under its owner's terms"
GET = (
    "fetch annotations_trainval2017.zip, train2017.zip and val2017.zip of cocodataset.org and unpack them into coco/ "
    "(annotations/person_keypoints_val2017.json, val2017/, ...)"
)
NAMES = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip",
    "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip
MARGIN = 1.25
"""The box is this much larger than the annotated one, as top-down methods have it (Xiao et al. 2018)."""


@dataset(
    task="pose",
    licence=LICENCE,
    source="Lin et al. 2014, ECCV, arXiv:1405.0312",
    get=GET,
    requires={"joints": 17},
)
def coco_keypoints(root: Path | None, split: str, shape: tuple[int, int, int]) -> Examples:
    """People in everyday scenes, each in its annotated box, 17 joints; whoever has no annotated joint is left out.

    Crowds are left out. Resized to `shape` (C, H, W). Raises DataNotFound, ValueError for another format.
    """
    listed = files(root, split)
    held, folder = _annotations(listed.lists[0]), _images(listed.folder, split)
    return cropped([_person(a, folder / held.names[a["image_id"]], shape) for a in held.people], NAMES, shape)


class _Held:
    """What an annotation file says: names of images by their number, and people with joints."""

    def __init__(self, parsed: Mapping[str, Any]) -> None:
        self.names: dict[int, str] = {image["id"]: image["file_name"] for image in parsed["images"]}
        every = (a for a in parsed["annotations"] if not a.get("iscrowd", 0))
        self.people = [a for a in every if any(flag > 0 for flag in a["keypoints"][2::3])]


def _annotations(path: Path) -> _Held:
    return _parsed(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=2)
def _parsed(path: Path, date: int) -> _Held:
    try:
        return _Held(json.loads(path.read_text(encoding="utf-8")))
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: no person_keypoints file of COCO: {type(error).__name__} {error}") from None


def _person(annotation: Mapping[str, Any], image: Path, shape: tuple[int, int, int]) -> Person:
    rows = np.array(annotation["keypoints"], dtype=np.float64).reshape(-1, 3)
    if len(rows) != len(NAMES):
        raise ValueError(f"annotation {annotation.get('id')}: {len(rows)} joints, not {len(NAMES)}")
    left, top, width, height = (float(v) for v in annotation["bbox"])
    extent = np.array([width, height])
    box = centred(np.array([left, top]) + (extent - 1) / 2, extent, shape, MARGIN)
    return Person(image, box, rows[:, :2], rows[:, 2].astype(np.uint8))


def _images(folder: Path, split: str) -> Path:
    return _present_folder([folder / f"{split}2017", folder / "images" / f"{split}2017"])


def _present_folder(candidates: list[Path]) -> Path:
    """The first of these folders that exists, else the first of all, so that what is missed is named."""
    return next((path for path in candidates if path.is_dir()), candidates[0])


def folders(root: Path) -> list[Path]:
    """Where it may lie below the data folder; the data folder may itself be it."""
    return [root / "coco", root / "COCO", root]


def files(root: Path | None, split: str) -> Files:
    """The annotation file and the images with people of a split. Raises DataNotFound."""
    below = Path("annotations") / f"person_keypoints_{split}2017.json"
    lists = [folder / below for folder in folders(root)] if root else []
    found = present(lists)
    if found is None:
        raise not_found(f"coco_keypoints ({split})", lists, LICENCE, GET)
    home, held = found.parents[1], _annotations(found)
    numbers = sorted({annotation["image_id"] for annotation in held.people})
    images = tuple(_images(home, split) / held.names[number] for number in numbers)
    missing = [path for path in images if not path.is_file()]
    if missing:
        raise not_found(f"coco_keypoints ({split})", missing[:1], LICENCE, GET)
    return Files(folder=home, lists=(found,), images=images, labels=())
