"""What a dataset's content is known by in a cell's key: changes when an image, a label or a split does."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.data.locate import files_of
from bench.registry import Dataset
from bench.results.sources import file_digest

WHOLE = 200_000_000
"""Bytes of images up to which every byte counts; beyond, an image counts by its size, start and end."""
SAMPLE = 4096


def fingerprint(entry: Dataset, root: Path | None, split: str, shape: tuple[int, ...], axes: Mapping[str, Any]) -> str:
    """Hash of what a dataset gives for these arguments, apart from the source of its loader.

    A drawn one: name, split, shape and axes. One in files: these, and name and content of the lists, the
    labels and the images of the split, wherever they lie and whatever their dates; of more than WHOLE
    bytes of images only size, first and last SAMPLE bytes of each. Digests are remembered in memory
    by path, size and date. Raises DataNotFound.
    """
    asked = [entry.name, split, list(shape), dict(sorted(axes.items()))]
    digest = hashlib.sha256(json.dumps(asked).encode())
    if not entry.embedded:
        found = files_of(entry, root, split, axes)
        for line in _lines(found.folder, (*found.lists, *found.labels), found.images):
            digest.update(line.encode())
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
