"""Where a dataset's files are looked for, and the error of a dataset that is missing.

A module that registers a dataset kept in files has two functions beside the loader:
`folders(root)`, the folders where it is looked for, and `files(root, split, **axes)`, its `Files`.
"""

from __future__ import annotations

import errno
import importlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.data.examples import DataNotFound
from bench.registry import Dataset

LONGEST = 400
"""Characters of a path that an error shows."""


@dataclass(frozen=True)
class Files:
    """The files of one split. `images[i]` goes with `labels[i]`; `lists` say which belong to the split."""

    folder: Path
    lists: tuple[Path, ...]
    images: tuple[Path, ...]
    labels: tuple[Path, ...]


def locations(entry: Dataset, root: Path | None) -> list[Path]:
    """The folders where the dataset is looked for, in order; none for a synthetic dataset or without a root."""
    if entry.embedded or root is None:
        return []
    folders: list[Path] = importlib.import_module(entry.module).folders(root)
    return folders


def files_of(entry: Dataset, root: Path | None, split: str, axes: Mapping[str, Any]) -> Files:
    """The files of a split. Raises DataNotFound."""
    files: Files = importlib.import_module(entry.module).files(root, split, **axes)
    return files


def not_found(name: str, looked: Sequence[Path], licence: str, get: str) -> DataNotFound:
    """The error of a dataset, or a file of it, that is at none of the places `looked`."""
    searched = f"looked for {' and '.join(map(_searched, looked))}"
    where = searched if looked else "no data folder given (--data or FOVBENCH_DATA)"
    return DataNotFound(f"{name}: not found, {where}\nlicence: {licence}. To get it: {get}")


def _searched(path: Path) -> str:
    """The path, and what is there in place of a file."""
    text = str(path) if len(str(path)) <= LONGEST else f"{str(path)[:LONGEST]}... ({len(str(path)):,} characters)"
    if os.path.isdir(path):
        return f"{text} (it is a folder)"
    if os.path.exists(path):
        return f"{text} (it is no regular file)"
    return f"{text} (it is a link to nothing)" if os.path.islink(path) else text


def is_file(path: Path) -> bool:
    """Whether there is a regular file; a pipe or a device, which may never end, is none."""
    try:
        return path.is_file()
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return False


def present(candidates: Sequence[Path]) -> Path | None:
    """The first of these files that exists."""
    return next((path for path in candidates if is_file(path)), None)


def content_of(path: Path, most: int) -> bytes:
    """The bytes of a file. Raises ValueError, with the file, where it has more than `most`."""
    size = path.stat().st_size
    if size > most:
        raise ValueError(f"{path}: it has {size:,} bytes; at most {most:,} are read")
    return path.read_bytes()


def refuse_missing(name: str, paths: Sequence[Path], licence: str, get: str) -> None:
    """Raises DataNotFound for the first of these files that does not exist."""
    missing = next((path for path in paths if not is_file(path)), None)
    if missing is not None:
        raise not_found(name, [missing], licence, get)


@contextmanager
def integrity_named(folder: Path, published: Iterable[tuple[str, str]], get: str) -> Iterator[None]:
    """Where torchvision's loader finds its files corrupted, raises ValueError with the file that is.

    `published` are (name, MD5) of the files below `folder`.
    """
    try:
        yield
    except RuntimeError as error:
        from torchvision.datasets.utils import check_integrity

        changed = [folder / name for name, md5 in published if not check_integrity(str(folder / name), md5)]
        if not changed:
            raise
        message = f"{changed[0]}: missing, cut short or changed: its MD5 is not the published one. To get it: {get}"
        raise ValueError(message) from error
