"""Annotations of keypoints in COCO's format: images, and the people (or animals) in them, each with a box."""

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

from bench.data.crops import Person, centred
from bench.data.lists import inside
from bench.data.locate import content_of
from bench.data.matlab import brief
from bench.data.people import LARGEST
from bench.data.skeleton import OCCLUDED, UNKNOWN, VISIBLE

MARGIN = 1.25
"""The box is this much larger than the annotated one, as top-down methods have it (Xiao et al. 2018)."""
FLAGS = (UNKNOWN, OCCLUDED, VISIBLE)
MOST_BYTES = 1 << 30
"""Bytes of the largest annotation file that is read; the published ones have up to 238 MB."""
PERSON: Mapping[str, Any] = {"id": 1, "name": "person"}
"""The category of people, where the file does not list it."""
OTHER = "annotations of another category"
FLAT = "people whose box is less than 1 px wide or high"


@dataclass(frozen=True)
class _Image:
    """An image that the file lists; `size` is (width, height) where the file has it."""

    name: str
    size: tuple[int, int] | None


@dataclass(frozen=True)
class Annotation:
    """A person: the image, the box (left, top, width, height), and rows (K, 3) of x, y, flag."""

    label: str
    image_id: Any
    image: _Image
    box: tuple[float, float, float, float]
    joints: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Annotations:
    """What an annotation file has: people with joints in boxes with an area, and the number of others, by reason.

    `names` are those of the joints, none where the file does not state them.
    """

    people: tuple[Annotation, ...]
    left_out: Mapping[str, int]
    names: tuple[str, ...] = ()


def annotations_of(path: Path, joints: int, category: str) -> Annotations:
    """The annotations of a category with `joints` keypoints each; without a category, of the only one of the file.

    Raises ValueError, with the file, for another format, another number of keypoints, or a category that is missing.
    """
    return _parsed(path, path.stat().st_mtime_ns, joints, category)


@functools.lru_cache(maxsize=2)
def _parsed(path: Path, date: int, joints: int, category: str) -> Annotations:
    content = content_of(path, MOST_BYTES)
    try:
        contents = _mapping(json.loads(content))
        listed = [_entries(contents, key) for key in ("images", "annotations")]
        categories = _entries(contents, "categories") if "categories" in contents else []
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: no person_keypoints file of COCO: {type(error).__name__} {error}") from None
    chosen = _category(path, categories, category)
    number, names = chosen.get("id"), _names(path, chosen, joints)
    images = _by_id(path, listed[0])
    _refuse_repeated(path, listed[1])
    ours = [entry for entry in listed[1] if number is None or entry.get("category_id", number) == number]
    people = [
        person for entry in ours if not _is_crowd(path, entry) and (person := _with_joints(path, entry, images, joints))
    ]
    whole = tuple(person for person in people if min(person.box[2:]) >= 1)
    others = len(listed[1]) - len(ours)
    left_out = {FLAT: len(people) - len(whole), **({OTHER: others} if others else {})}
    return Annotations(whole, left_out, names)


def _mapping(entry: Any) -> Mapping[str, Any]:
    if not isinstance(entry, Mapping):
        raise TypeError(f"an entry is {brief(entry)}, not an object")
    return entry


def _entries(contents: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """The objects in a list of the file. Raises TypeError."""
    if not isinstance(contents.get(key), list):
        raise TypeError(f"'{key}' is {brief(contents.get(key))}, not a list")
    return [*map(_mapping, contents[key])]


def _category(path: Path, categories: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    """The category of this name; without a name the only one; without categories one that all annotations have."""
    if name == PERSON["name"]:
        return next((each for each in categories if each.get("name") == name), PERSON)
    named = {str(each.get("name")): each for each in categories}
    listed = f"the file has {', '.join(sorted(named)) or 'no categories'}"
    if name and name not in named:
        raise ValueError(f"{path}: there is no category '{name}': {listed}")
    if len(named) > 1 and not name:
        raise ValueError(f"{path}: {listed}: state which one, category: '{sorted(named)[0]}'")
    return named[name] if name else next(iter(categories), {})


def _names(path: Path, category: Mapping[str, Any], joints: int) -> tuple[str, ...]:
    """The names of joints that the category states; none where it states none. Raises ValueError for another number."""
    names = category.get("keypoints", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{path}: 'keypoints' of the category is {brief(names)}, not a list of names")
    if names and len(names) != joints:
        raise ValueError(f"{path}: the category has {len(names)} joints, but joints is {joints}")
    return tuple(names)


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


def _with_joints(path: Path, entry: Mapping[str, Any], images: Mapping[Any, _Image], joints: int) -> Annotation | None:
    """The annotation of a person, None where no joint is annotated. Raises ValueError with file, annotation and key."""
    label = f"annotation {entry.get('id')}"
    rows = _numbers(path, label, entry, "keypoints", 3 * joints).reshape(-1, 3)
    if not np.isin(rows[:, 2], FLAGS).all():
        raise ValueError(f"{path}: {label}: 'keypoints' has flags of joints other than {FLAGS}")
    if not rows[:, 2].any():
        return None
    number = entry.get("image_id")
    if not _is_id(number) or number not in images:
        raise ValueError(f"{path}: {label}: 'image_id' {brief(number)} is not the id of an image that the file lists")
    left, top, width, height = (float(side) for side in _numbers(path, label, entry, "bbox", 4))
    return Annotation(label, number, images[number], (left, top, width, height), rows)


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


def images_of(annotations: Annotations, folder: Path) -> tuple[Path, ...]:
    """The images with people, each once, in the order of their ids."""
    names = {person.image_id: person.image.name for person in annotations.people}
    return tuple(folder / names[number] for number in sorted(names, key=_order))


def _order(number: int | str) -> tuple[int, str]:
    """Numbers by size, before strings."""
    return (number, "") if isinstance(number, int) else (sys.maxsize, number)


def person_of(annotation: Annotation, folder: Path, shape: tuple[int, int, int], source: str) -> Person:
    """The person of an annotation, whose image lies in `folder`; the box is MARGIN times as large as the annotated."""
    left, top, width, height = annotation.box
    extent = np.array([width, height])
    box = centred(np.array([left, top]) + (extent - 1) / 2, extent, shape, MARGIN)
    visible = annotation.joints[:, 2].astype(np.uint8)
    image = annotation.image
    return Person(folder / image.name, box, annotation.joints[:, :2], visible, size=image.size, source=source)
