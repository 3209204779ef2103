"""COCO keypoints: people in everyday scenes, 17 joints, in COCO's own annotation format."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.data.crops import Person, centred, cropped
from bench.data.examples import Examples
from bench.data.lists import inside
from bench.data.locate import Files, content_of, not_found, present, refuse_missing
from bench.data.matlab import brief
from bench.data.people import LARGEST
from bench.data.skeleton import OCCLUDED, UNKNOWN, VISIBLE
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
FLAGS = (UNKNOWN, OCCLUDED, VISIBLE)
MOST_BYTES = 1 << 30
"""Bytes of the largest annotation file that is read; the published ones have up to 238 MB."""
PERSON = 1
"""The category of people, where the file does not list its categories."""
OTHER = "annotations of another category than people"
FLAT = "people whose box is less than 1 px wide or high"


@dataset(
    task="pose",
    licence=LICENCE,
    source="Lin et al. 2014, ECCV, arXiv:1405.0312",
    get=GET,
    requires={"joints": 17},
)
def coco_keypoints(root: Path | None, split: str, shape: tuple[int, int, int]) -> Examples:
    """People in everyday scenes, each in its annotated box, 17 joints; people without an annotated joint are left out.

    Crowds are left out too. `left_out` counts people whose box has no area or is outside the image, and annotations of
    other categories. Resized to `shape` (C, H, W). Raises DataNotFound, and ValueError for another format or for ids
    that do not match.
    """
    listed = files(root, split)
    (path,) = listed.lists
    annotations, folder = _annotations(path), _images(listed.folder, split)
    people = [_person(annotation, folder, shape, f"{path}, {annotation.label}") for annotation in annotations.people]
    return cropped(people, NAMES, shape, left_out=annotations.left_out, source=path)


@dataclass(frozen=True)
class _Image:
    """An image that the file lists; `size` is (width, height) where the file has it."""

    name: str
    size: tuple[int, int] | None


@dataclass(frozen=True)
class _Annotation:
    """A person: the image, the box (left, top, width, height), and rows (17, 3) of x, y, flag."""

    label: str
    image_id: Any
    image: _Image
    box: tuple[float, float, float, float]
    joints: npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Annotations:
    """What an annotation file has: people with joints in boxes with an area, and the number of others, by reason."""

    people: tuple[_Annotation, ...]
    left_out: Mapping[str, int]


def _annotations(path: Path) -> _Annotations:
    return _parsed(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=2)
def _parsed(path: Path, date: int) -> _Annotations:
    content = content_of(path, MOST_BYTES)
    try:
        contents = _mapping(json.loads(content))
        listed = [_entries(contents, key) for key in ("images", "annotations")]
        person = _person_category(contents)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: no person_keypoints file of COCO: {type(error).__name__} {error}") from None
    images = _by_id(path, listed[0])
    _refuse_repeated(path, listed[1])
    ours = [entry for entry in listed[1] if entry.get("category_id", person) == person]
    people = [person for entry in ours if not _is_crowd(path, entry) and (person := _with_joints(path, entry, images))]
    whole = tuple(person for person in people if min(person.box[2:]) >= 1)
    others = len(listed[1]) - len(ours)
    return _Annotations(whole, {FLAT: len(people) - len(whole), **({OTHER: others} if others else {})})


def _mapping(entry: Any) -> Mapping[str, Any]:
    if not isinstance(entry, Mapping):
        raise TypeError(f"an entry is {brief(entry)}, not an object")
    return entry


def _entries(contents: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """The objects in a list of the file. Raises TypeError."""
    if not isinstance(contents.get(key), list):
        raise TypeError(f"'{key}' is {brief(contents.get(key))}, not a list")
    return [*map(_mapping, contents[key])]


def _person_category(contents: Mapping[str, Any]) -> Any:
    """The id of the category of people. Raises TypeError."""
    if "categories" not in contents:
        return PERSON
    categories = _entries(contents, "categories")
    return next((each.get("id") for each in categories if each.get("name") == "person"), PERSON)


def _is_id(value: Any) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool)


def _refuse_repeated(path: Path, entries: Sequence[Mapping[str, Any]]) -> None:
    """Raises ValueError for an annotation whose id is no number or string, or that of another annotation."""
    first: dict[Any, int] = {}
    for position, entry in enumerate(entries):
        number = entry.get("id", f"annotations[{position}]")  # unique, where there is none
        if not _is_id(number):
            raise ValueError(f"{path}: annotations[{position}]: 'id' is {brief(number)}, not a number or a string")
        if first.setdefault(number, position) != position:
            where = f"annotations[{position}]: 'id' {brief(number)}"
            raise ValueError(f"{path}: {where} is that of annotations[{first[number]}] too")


def _is_crowd(path: Path, entry: Mapping[str, Any]) -> bool:
    value = entry.get("iscrowd", 0)
    if value not in (0, 1):
        raise ValueError(f"{path}: annotation {entry.get('id')}: 'iscrowd' is {brief(value)}, not 0 or 1")
    return bool(value)


def _by_id(path: Path, entries: Sequence[Mapping[str, Any]]) -> dict[Any, _Image]:
    """The images by their id. Raises ValueError for one without id or name, for an id used twice, a name elsewhere."""
    images: dict[Any, _Image] = {}
    for position, entry in enumerate(entries):
        where = f"{path}: images[{position}]"
        for key in ("id", "file_name"):
            if not _is_id(entry.get(key)):
                raise ValueError(f"{where}: '{key}' is {brief(entry.get(key))}, not a number or a string")
        if entry["id"] in images:
            raise ValueError(f"{where}: 'id' {entry['id']} is that of another image too")
        if inside(path.parent, entry["file_name"]) is None:
            raise ValueError(
                f"{where}: 'file_name' '{entry['file_name']}' is not a name below the folder of the images"
            )
        images[entry["id"]] = _Image(entry["file_name"], _size(entry, where))
    return images


def _size(entry: Mapping[str, Any], where: str) -> tuple[int, int] | None:
    """The width and height that an image's entry states, None where it states neither. Raises ValueError."""
    if "width" not in entry and "height" not in entry:
        return None
    for key in ("width", "height"):
        value = entry.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{where}: '{key}' is {brief(value)}, not a whole number from 1")
    return entry["width"], entry["height"]


def _with_joints(path: Path, entry: Mapping[str, Any], images: Mapping[Any, _Image]) -> _Annotation | None:
    """The annotation of a person, None where no joint is annotated. Raises ValueError with file, annotation and key."""
    label = f"annotation {entry.get('id')}"
    rows = _numbers(path, label, entry, "keypoints", 3 * len(NAMES)).reshape(-1, 3)
    if not np.isin(rows[:, 2], FLAGS).all():
        raise ValueError(f"{path}: {label}: 'keypoints' has flags of joints other than {FLAGS}")
    if not rows[:, 2].any():
        return None
    number = entry.get("image_id")
    if not _is_id(number) or number not in images:
        raise ValueError(f"{path}: {label}: 'image_id' {brief(number)} is not the id of an image that the file lists")
    left, top, width, height = (float(side) for side in _numbers(path, label, entry, "bbox", 4))
    return _Annotation(label, number, images[number], (left, top, width, height), rows)


def _numbers(path: Path, label: str, entry: Mapping[str, Any], key: str, count: int) -> npt.NDArray[np.float64]:
    values = entry.get(key)
    if isinstance(values, list) and len(values) == count and all(_is_number(value) for value in values):
        return np.array(values, dtype=np.float64)
    actual = f"a list of {len(values)}" if isinstance(values, list) else brief(values)
    wrong = [value for value in values if not _is_number(value)] if isinstance(values, list) else []
    example = f": it holds {brief(wrong[0])}" if wrong else ""
    raise ValueError(f"{path}: {label}: '{key}' is {actual}, not a list of {count} finite numbers{example}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST


def _person(annotation: _Annotation, folder: Path, shape: tuple[int, int, int], source: str) -> Person:
    left, top, width, height = annotation.box
    extent = np.array([width, height])
    box = centred(np.array([left, top]) + (extent - 1) / 2, extent, shape, MARGIN)
    visible = annotation.joints[:, 2].astype(np.uint8)
    image = annotation.image
    return Person(folder / image.name, box, annotation.joints[:, :2], visible, size=image.size, source=source)


def _images(folder: Path, split: str) -> Path:
    return _present_folder([folder / f"{split}2017", folder / "images" / f"{split}2017"])


def _present_folder(candidates: list[Path]) -> Path:
    """The first of these folders that exists, else the first of all, so that an error names it."""
    return next((path for path in candidates if path.is_dir()), candidates[0])


def folders(root: Path) -> list[Path]:
    """The folders in which it is searched: below the data folder, and that folder itself."""
    return [root / "coco", root / "COCO", root]


def files(root: Path | None, split: str) -> Files:
    """The annotation file and the images with people of a split. Raises DataNotFound, ValueError."""
    below = Path("annotations") / f"person_keypoints_{split}2017.json"
    candidates = [folder / below for folder in folders(root)] if root else []
    path = present(candidates)
    if path is None:
        raise not_found(f"coco_keypoints ({split})", candidates, LICENCE, GET)
    home = path.parents[1]
    names = {person.image_id: person.image.name for person in _annotations(path).people}
    images = tuple(_images(home, split) / names[number] for number in sorted(names, key=_order))
    refuse_missing(f"coco_keypoints ({split})", images, LICENCE, GET)
    return Files(folder=home, lists=(path,), images=images, labels=())


def _order(number: int | str) -> tuple[int, str]:
    """Numbers by size, before strings."""
    return (number, "") if isinstance(number, int) else (sys.maxsize, number)
