"""Where a dataset's files are looked for, and the error of a dataset that is missing.

A module that registers a dataset kept in files has two functions beside the loader:
`folders(root)`, the folders where it is looked for, and `files(root, split, **axes)`, its `Files`.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.data.examples import DataNotFound
from bench.registry import Dataset


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
    searched = f"looked for {' and '.join(map(str, looked))}"
    where = searched if looked else "no data folder given (--data or FOVBENCH_DATA)"
    return DataNotFound(f"{name}: not found, {where}\nlicence: {licence}. To get it: {get}")


def present(candidates: Sequence[Path]) -> Path | None:
    """The first of these files that exists."""
    return next((path for path in candidates if path.is_file()), None)


def refuse_missing(name: str, paths: Sequence[Path], licence: str, get: str) -> None:
    """Raises DataNotFound for the first of these files that does not exist."""
    missing = next((path for path in paths if not path.is_file()), None)
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
