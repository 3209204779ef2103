"""A folder of your own for poses: images/ and annotations of keypoints in COCO's format."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt

from bench.data import own_folder
from bench.data.coco_format import Annotation, Annotations, annotations_of, images_of, person_of
from bench.data.crops import HEAD, TORSO, Person, cropped
from bench.data.examples import Examples
from bench.data.locate import Files, is_file, refuse_missing
from bench.data.people import between
from bench.data.skeleton import UNKNOWN, colours, mirrored, side, twin
from bench.registry import Bounds, dataset

GET = (
    "make a folder with images/ and keypoints in COCO's format, train.json and val.json, or one file and val_fraction; "
    "name the folder with path"
)
SPLIT = "{split}"
SIDED = re.compile(r"(?i)^(l|r|left|right)[_ .-]|[_ .-](l|r|left|right)$|^(left|right)(?-i:[A-Z])")
"""Names that seem to have a side, in other words than `left_` and `right_`."""
MEASURED = tuple(dict.fromkeys(name for end in TORSO for name in (end, twin(end))))
"""Joints that `cropped` measures, with their twins."""


@dataset(
    task="pose",
    licence="that of your own files",
    source="your own folder",
    get=GET,
    requires={"joints": 17},
)
def folder_pose(
    root: Path | None,
    split: str,
    shape: tuple[int, int, int],
    *,
    path: str = "folder_pose",
    annotations: str = "{split}.json",
    images: str = "images",
    joints: Annotated[int, Bounds(1, 255)] = 17,
    names: tuple[str, ...] = (),
    pairs: tuple[str, ...] = (),
    category: str = "",
    scale: Literal["torso", "box"] = "torso",
    torso: tuple[str, ...] = ("left_shoulder", "right_hip"),
    val_fraction: Annotated[float, Bounds(0, 1)] | None = None,
    split_seed: Annotated[int, Bounds(0, 4294967295)] = 0,
    publish: bool = False,
) -> Examples:
    """Your own people (or animals) with keypoints in COCO's format, each in its box, 1.25 times as large.

    `path` is relative to the data folder or the current one; `annotations` names a file a split, or one file that
    `val_fraction` splits by images. `names` are those of the `joints` where the file has none; `pairs` (`paw_l:paw_r`)
    what a mirror exchanges where names do not begin with left_ and right_. PCK is relative to the distance of the two
    joints `torso`, or with `scale: box` to the longer side of the annotated box. `publish` allows reports to show the
    images. Raises DataNotFound, and ValueError with the file that does not fit.
    """
    source = _Source(path, annotations, images, joints, names, category, val_fraction, split_seed)
    listed, read = _read(root, split, source)
    named, place = _names(listed.lists[0], read, source), listed.folder / images
    mirror, chosen = _mirror(named, pairs), {*listed.images}
    _refuse_torso(named, torso, scale)
    entries = [entry for entry in read.people if place / entry.image.name in chosen]
    people = [_person(entry, place, shape, listed.lists[0]) for entry in entries]
    lengths = [_length(entry, named, torso, scale) for entry in entries]
    padded = [_padded(person, length) for person, length in zip(people, lengths, strict=True)]
    neutral = (*(f"joint {number}" for number in range(joints)), *MEASURED)
    loaded = cropped(padded, neutral, shape, left_out=read.left_out, source=listed.lists[0])
    return replace(_trimmed(loaded, named, mirror), publishable=publish)


@dataclass(frozen=True)
class _Source:
    """The options that say what is read."""

    path: str
    annotations: str
    images: str
    joints: int
    names: tuple[str, ...]
    category: str
    val_fraction: float | None
    split_seed: int


def _read(root: Path | None, split: str, source: _Source) -> tuple[Files, Annotations]:
    """The files of a split, and the annotations of the file that it is part of."""
    home = own_folder.home("folder_pose", root, split, source.path, GET)
    file, place = _file(home, split, source), home / source.images
    read = annotations_of(file, source.joints, source.category)
    images = images_of(read, place)
    if not images:
        raise ValueError(f"{file}: nobody has an annotated joint")
    refuse_missing(f"folder_pose ({split}, {file.name})", images, own_folder.LICENCE, GET)
    if source.val_fraction is None:
        _refuse_shared(home, source)
    else:
        images = own_folder.by_fraction(place, images, split, source.val_fraction, source.split_seed)
    return Files(folder=home, lists=(file,), images=images, labels=()), read


def _file(home: Path, split: str, source: _Source) -> Path:
    """The annotation file of a split. Raises ValueError where neither or both of file names and fraction split."""
    file = home / source.annotations.replace(SPLIT, split)
    if SPLIT in source.annotations and source.val_fraction is not None:
        raise ValueError(
            f"{home}: the split is stated by annotations: '{source.annotations}' and by val_fraction: name one file, "
            "annotations: all.json, or leave val_fraction out"
        )
    if SPLIT not in source.annotations and source.val_fraction is None:
        raise ValueError(f"{file}: one file for both splits: state val_fraction: 0.2, or annotations: '{{split}}.json'")
    if not is_file(file):
        raise ValueError(f"{file}: there is no such file: state its name, annotations: '{{split}}.json'")
    return file


def _refuse_shared(home: Path, source: _Source) -> None:
    """Raises ValueError for an image that the annotations of both splits have."""
    files = [home / source.annotations.replace(SPLIT, split) for split in own_folder.SPLITS]
    if not all(map(is_file, files)):
        return
    trained, held_back = (
        {person.image.name for person in annotations_of(file, source.joints, source.category).people} for file in files
    )
    for name in sorted(trained & held_back):
        raise ValueError(f"{files[1]}: {files[0].name} has the image {name} too, so that val is not held back")


def _names(file: Path, read: Annotations, source: _Source) -> tuple[str, ...]:
    """The names of the joints: the stated ones, else those of the file. Raises ValueError where there are none."""
    if not source.names and not read.names:
        raise ValueError(f"{file}: it has no names of joints (categories, keypoints): state names: [left_wrist, ...]")
    return own_folder.class_names(source.names or read.names, source.joints, "joint")


def _mirror(names: Sequence[str], pairs: Sequence[str]) -> tuple[int, ...]:
    """For each joint the one that a mirror exchanges it with: by `pairs`, else by the names `left_` and `right_`.

    Raises ValueError for a joint that has a side and no twin.
    """
    exchanged = _exchanged(names, pairs)
    for name in names:
        if name not in exchanged and ((side(name) and pairs) or (not side(name) and SIDED.search(name))):
            hint = "state it in pairs" if pairs else "name it left_ or right_, or state pairs: ['paw_l:paw_r']"
            raise ValueError(f"joint '{name}' seems to have a side, but its twin is not stated: {hint}")
    return tuple(names.index(exchanged.get(name, name)) for name in names) if pairs else mirrored(names)


def _exchanged(names: Sequence[str], pairs: Sequence[str]) -> dict[str, str]:
    exchanged: dict[str, str] = {}
    for pair in pairs:
        ends = [end.strip() for end in pair.split(":")]
        if len(ends) != 2 or ends[0] == ends[1]:
            raise ValueError(f"pairs: '{pair}' is no pair: write two joints with a colon, 'paw_l:paw_r'")
        for end, other in (ends, ends[::-1]):
            if end not in names:
                raise ValueError(f"pairs: '{pair}': there is no joint '{end}' (joints are {', '.join(names)})")
            if exchanged.setdefault(end, other) != other:
                raise ValueError(f"pairs: joint '{end}' is in two pairs")
    return exchanged


def _refuse_torso(names: Sequence[str], torso: Sequence[str], scale: str) -> None:
    """Raises ValueError where PCK has no length to be relative to."""
    if scale == "box":
        return
    missing = next((end for end in torso if end not in names), None)
    if len(torso) != 2 or missing is not None:
        problem = f"there is no joint '{missing}'" if missing is not None else f"torso lists {len(torso)} joints, not 2"
        raise ValueError(f"{problem}: state two joints of {', '.join(names)} as torso, or scale: box")


def _person(entry: Annotation, place: Path, shape: tuple[int, int, int], file: Path) -> Person:
    return person_of(entry, place, shape, f"{file}, {entry.label}")


def _length(entry: Annotation, names: Sequence[str], torso: Sequence[str], scale: str) -> float:
    """What PCK is relative to, in px of the file; NaN where an end of the torso is not annotated."""
    if scale == "box":
        return max(entry.box[2:])
    ends = entry.joints[[names.index(end) for end in torso]]
    return float(np.linalg.norm(ends[0, :2] - ends[1, :2])) if (ends[:, 2] != UNKNOWN).all() else float("nan")


def _padded(person: Person, length: float) -> Person:
    """The person with the joints that `cropped` measures, not annotated, and its length in place of the head's."""
    joints = np.concatenate([person.joints, np.zeros((len(MEASURED), 2))])
    visible = np.concatenate([person.visible, np.full(len(MEASURED), UNKNOWN, np.uint8)])
    return replace(person, joints=joints, visible=visible, head=length)


def _trimmed(loaded: Examples, names: tuple[str, ...], mirror: tuple[int, ...]) -> Examples:
    """The examples with the joints `names` alone, and the lengths in their own places."""
    import torch

    joints, visible = (loaded.targets[name][:, : len(names)].contiguous() for name in ("joints", "visible"))
    nobody = torch.full((len(loaded),), float("nan"))
    targets = {"joints": joints, "visible": visible, "size": loaded.targets["size"]}
    targets |= {"mirror": torch.tensor([mirror] * len(loaded), dtype=torch.uint8)}
    targets |= {"torso": loaded.targets.get("head", nobody)}
    if {*HEAD} <= {*names}:
        head: npt.NDArray[np.floating] = between(joints.numpy(), visible.numpy(), names, HEAD)
        targets |= {"head": torch.from_numpy(head.astype(np.float32))}
    return replace(loaded, targets=targets, names=names, palette=colours(names))


def folders(root: Path) -> list[Path]:
    """Where a folder is searched that `path` names: below the data folder, then below the current one."""
    return own_folder.homes(root, "folder_pose")


def files(
    root: Path | None,
    split: str,
    *,
    path: str = "folder_pose",
    annotations: str = "{split}.json",
    images: str = "images",
    joints: int = 17,
    names: tuple[str, ...] = (),
    category: str = "",
    val_fraction: float | None = None,
    split_seed: int = 0,
    pairs: tuple[str, ...] = (),
    scale: str = "torso",
    torso: tuple[str, ...] = TORSO,
    publish: bool = False,
) -> Files:
    """The annotation file and the images of a split. Raises DataNotFound, and ValueError as the loader."""
    source = _Source(path, annotations, images, joints, names, category, val_fraction, split_seed)
    listed, read = _read(root, split, source)
    named = _names(listed.lists[0], read, source)
    _mirror(named, pairs)
    _refuse_torso(named, torso, scale)
    return listed
