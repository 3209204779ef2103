"""The digest of a dataset's content in the key of a measurement: it changes when an image, a label or a split does."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from bench.data.locate import files_of
from bench.data.subset import own_axes
from bench.registry import Dataset
from bench.results.sources import file_digest

WHOLE = 200_000_000
"""Bytes of images up to which every byte counts; beyond, an image counts by its size, start and end."""
SAMPLE = 4096


def fingerprint(entry: Dataset, root: Path | None, split: str, shape: tuple[int, ...], axes: Mapping[str, Any]) -> str:
    """Hash of the dataset's content for these arguments, without the source of its loader, for any fraction.

    Of a synthetic dataset: name, split, shape and axes. Of one in files: these, and name and content of the lists, the
    labels and the images of the split, independent of their folder and dates; where the images have more than WHOLE
    bytes, only size, first and last SAMPLE bytes of each. Digests are cached in memory by path, size and date.
    Raises DataNotFound, ValueError for malformed files.
    """
    arguments = [entry.name, split, list(shape), dict(sorted(own_axes(axes).items()))]
    digest = hashlib.sha256(json.dumps(arguments).encode())
    if not entry.embedded:
        digest.update(_content(entry, root, split, own_axes(axes)))
    return digest.hexdigest()


_UNCHANGED: ContextVar[dict[Any, bytes] | None] = ContextVar("unchanged", default=None)


@contextmanager
def unchanged_data() -> Iterator[None]:
    """Inside, the files of a dataset are taken to stay as they are, so that each is looked at once."""
    token = _UNCHANGED.set({})
    try:
        yield
    finally:
        _UNCHANGED.reset(token)


def _content(entry: Dataset, root: Path | None, split: str, axes: Mapping[str, Any]) -> bytes:
    """A line for each file of the split."""
    memory = _UNCHANGED.get()
    key = (entry.module, root, split, repr(sorted(axes.items())))
    if memory is None or key not in memory:
        files = files_of(entry, root, split, axes)
        content = "".join(_lines(files.folder, (*files.lists, *files.labels), files.images)).encode()
        if memory is None:
            return content
        memory[key] = content
    return memory[key]


def stamp(entry: Dataset, root: Path | None, splits: Sequence[str], axes: Mapping[str, Any]) -> str:
    """Hash of sizes, dates and inodes of the dataset's files: it changes when one is written.

    Empty for a synthetic dataset. Raises DataNotFound, ValueError for malformed files.
    """
    if entry.embedded:
        return ""
    digest = hashlib.sha256()
    for split in splits:
        files = files_of(entry, root, split, own_axes(axes))
        for path in (*files.lists, *files.labels, *files.images):
            stat = path.stat()
            facts = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
            digest.update(f"{path}\0{facts}\n".encode())
    return digest.hexdigest()


def _lines(folder: Path, whole: Sequence[Path], images: Sequence[Path]) -> Iterator[str]:
    sizes = [path.stat().st_size for path in images]
    sample = None if sum(sizes) <= WHOLE else SAMPLE
    for paths, limit in ((whole, None), (images, sample)):
        for path in paths:
            stat = path.stat()
            sampled = limit is not None and stat.st_size > 2 * limit
            content = _ends(path, stat.st_size, stat.st_mtime_ns) if sampled else file_digest(path)
            yield f"{path.relative_to(folder).as_posix()}\0{stat.st_size}\0{content}\n"


@functools.cache
def _ends(path: Path, size: int, date: int) -> str:
    with path.open("rb") as file:
        head = file.read(SAMPLE)
        file.seek(-SAMPLE, 2)
        return hashlib.sha256(head + file.read()).hexdigest()
