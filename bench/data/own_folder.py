"""What the datasets of a person's own folder share: where it lies, its images, and which of them belong to a split.

A split is stated by lists (`train.txt` and `val.txt`, the name of an image on every line) or by a fraction.
"""

from __future__ import annotations

import colorsys
import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.data.images import Colour
from bench.data.lists import Line, inside, read_lines, refuse_repeated
from bench.data.locate import is_file, not_found

LICENCE = "that of your own files"
SPLITS = ("train", "val")
ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
"""Endings of the files that count as images, in lower case."""
GOLDEN = 0.618034
"""The step of the hue, in turns, from the colour of one class to that of the next."""


def homes(root: Path | None, path: str) -> list[Path]:
    """The places of the folder `path`: below the data folder, then below the current one; an absolute path is itself.

    Raises ValueError for an empty path.
    """
    if not path.strip():
        raise ValueError("path is empty: state your folder, relative to the data folder or to the current one")
    return list(dict.fromkeys(folder / path for folder in ([root] if root else []) + [Path.cwd()]))


def home(dataset: str, root: Path | None, split: str, path: str, get: str) -> Path:
    """The first of `homes` that is a folder. Raises DataNotFound; ValueError for another split than train and val."""
    if split not in SPLITS:
        raise ValueError(f"{dataset} has the splits {' and '.join(SPLITS)}, not '{split}'")
    candidates = homes(root, path)
    place = next((folder for folder in candidates if os.path.isdir(folder)), None)
    if place is not None:
        return place
    file = next((path for path in candidates if is_file(path)), None)
    if file is not None:
        raise ValueError(f"{file}: it is a file; path names the folder that holds your files")
    if root is None and not Path(path).is_absolute():
        raise not_found(f"{dataset} ({split}; no folder '{path}' in {Path.cwd()})", [], LICENCE, get)
    raise not_found(f"{dataset} ({split})", candidates, LICENCE, get)


def chosen(
    folder: Path, images: Path, split: str, fraction: float | None, seed: int
) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """(the lists, the images of a split) of the folder `images`, with lists in `folder` or by `fraction` for val.

    Raises ValueError where neither or both state the split, a list is empty or names no image, no image is there, an
    image is in both splits, or one split has none.
    """
    lists = {name: folder / f"{name}.txt" for name in SPLITS}
    present = [path for path in lists.values() if is_file(path)]
    every = images_in(images)
    if fraction is not None:
        if present:
            raise ValueError(f"{present[0]}: the split is stated by lists and by val_fraction: leave one of them out")
        return (), by_fraction(images, every, split, fraction, seed)
    if not present:
        raise ValueError(f"{folder}: no train.txt and val.txt: write these lists, or state val_fraction: 0.2")
    for path in lists.values():
        if path not in present:
            raise ValueError(f"{path}: there is no such list, but there is {present[0].name}: write both")
    listed = {name: _listed(path, images, every) for name, path in lists.items()}
    _refuse_shared(listed)
    return (lists[split],), tuple(image for _, image in listed[split])


def images_in(folder: Path) -> tuple[Path, ...]:
    """The images in a folder and below, sorted by name; hidden files are none. Raises ValueError for none."""
    if not os.path.isdir(folder):
        raise ValueError(f"{folder}: there is no such folder: put the images there, or state its name")
    below = (path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS and is_file(path))
    images = [path for path in below if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    if not images:
        raise ValueError(f"{folder}: no images (files that end with {', '.join(ENDINGS)})")
    return tuple(sorted(images, key=lambda path: path.relative_to(folder).as_posix()))


def stem(path: Path, folder: Path) -> str:
    """The name of a file below `folder` without its ending: `town/0001`."""
    return path.relative_to(folder).with_suffix("").as_posix()


def by_stem(paths: Iterable[Path], folder: Path) -> dict[str, Path]:
    """The files by their name without ending. Raises ValueError where two differ in the ending alone."""
    named: dict[str, Path] = {}
    for path in paths:
        other = named.setdefault(stem(path, folder), path)
        if other != path:
            raise ValueError(f"{path}: {other.name} has the same name with another ending: leave one of them out")
    return named


def by_fraction(folder: Path, images: Sequence[Path], split: str, fraction: float, seed: int) -> tuple[Path, ...]:
    """The images of a split where `fraction` of them, rounded, are held back; chosen by a hash of seed and name.

    An added image leaves the others in their order. Raises ValueError where a split would have none.
    """
    count = round(len(images) * fraction)
    if not 0 < count < len(images):
        split_sizes = f"{len(images) - count} for train and {count} for val"
        raise ValueError(f"{folder}: val_fraction {fraction:g} of {len(images)} images leaves {split_sizes}")

    def order(image: Path) -> str:
        return hashlib.sha256(f"{seed}\0{image.relative_to(folder).as_posix()}".encode()).hexdigest()

    held_back = {*sorted(images, key=order)[:count]}
    return tuple(image for image in images if (image in held_back) == (split == "val"))


def _listed(path: Path, folder: Path, images: Sequence[Path]) -> list[tuple[Line, Path]]:
    """The lines of a list with the image of each: its name below the folder, with or without ending."""
    lines = read_lines(path)
    if not lines:
        raise ValueError(f"{path}: the list is empty: write the name of an image on every line")
    by_name = {image.relative_to(folder).as_posix(): image for image in images}
    stems: dict[str, list[Path]] = {}
    for image in images:
        stems.setdefault(stem(image, folder), []).append(image)
    files = [_named(line, folder, by_name, stems) for line in lines]
    refuse_repeated(lines, files)
    return [*zip(lines, files, strict=True)]


def _named(line: Line, folder: Path, by_name: dict[str, Path], stems: dict[str, list[Path]]) -> Path:
    name = line.text.replace("\\", "/").removeprefix("./").removeprefix(f"{folder.name}/")
    if inside(folder, name) is None:
        raise line.refuse(f"expected the name of an image in {folder}")
    matching = [by_name[name]] if name in by_name else stems.get(name, [])
    if len(matching) > 1:
        raise line.refuse(f"{' and '.join(path.name for path in matching)} may be meant: write the ending too")
    if not matching:
        raise line.refuse(f"there is no such image in {folder}")
    return matching[0]


def _refuse_shared(listed: dict[str, list[tuple[Line, Path]]]) -> None:
    """Raises ValueError, with file and line, for an image of the second list that the first lists too."""
    first, second = (listed[name] for name in SPLITS)
    trained = {image: line for line, image in first}
    for line, image in second:
        if image in trained:
            other = trained[image]
            raise line.refuse(f"{other.path.name}:{other.number} lists this image too, so that val is not held back")


def colours(count: int) -> tuple[Colour, ...]:
    """`count` colours for figures, the hue a golden section apart from one to the next."""
    shades = [colorsys.hsv_to_rgb(index * GOLDEN % 1, 0.75, 0.85 - 0.25 * (index % 2)) for index in range(count)]
    return tuple((round(255 * r), round(255 * g), round(255 * b)) for r, g, b in shades)


def class_names(names: Sequence[str], classes: int, word: str = "class") -> tuple[str, ...]:
    """`names`, or numbers where none is stated. Raises ValueError where they are not `classes`, or one is repeated."""
    if not names:
        return tuple(f"{word} {number}" for number in range(classes))
    plural = "classes" if word == "class" else f"{word}s"
    if len(names) != classes:
        raise ValueError(f"names lists {len(names)} {plural}, but {plural} is {classes}: state {plural}: {len(names)}")
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise ValueError(f"names lists '{repeated}' twice")
    return tuple(names)
