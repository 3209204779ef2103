"""Files in one step: whoever reads, and whoever is killed, leaves the old file or the new one, never a part."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


def write_text(path: Path, text: str) -> Path:
    """Write UTF-8 with line feeds in one step; the path. See `write_bytes`."""
    return write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> Path:
    """Write a file in one step; the path. Missing folders are made, permissions follow the umask or the old file's.

    A symbolic link stays, and the file that it names is replaced. What is no regular file (`/dev/stdout`, a pipe) is
    written to as it is. Raises OSError; the old file is then as it was.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file() and not target.is_dir():
        target.write_bytes(content)
        return path
    target.parent.mkdir(parents=True, exist_ok=True)
    with _neighbour(target) as temporary:
        _write_through(temporary, content)
        temporary.chmod(_permissions(target, 0o666))
        temporary.replace(target)
    return path


@contextlib.contextmanager
def _neighbour(target: Path) -> Iterator[Path]:
    """A new empty file in the same folder; removed if it is still there."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:100]}.", suffix=".part")
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _write_through(path: Path, content: bytes) -> None:
    """Write to the disk itself, so that a crash of the machine leaves no empty file under the name."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _permissions(target: Path, new: int) -> int:
    """Those of the file that is replaced; of a new one what the umask leaves."""
    if target.exists():
        return target.stat().st_mode & 0o7777
    mask = os.umask(0)
    os.umask(mask)
    return new & ~mask


@contextlib.contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """A new empty folder to fill, which then takes the place of `folder`; it is removed if filling it fails.

    A folder cannot be replaced in one step: the old one is set aside for a moment, where `present` looks.
    """
    target = Path(os.path.realpath(folder))
    target.parent.mkdir(parents=True, exist_ok=True)
    _put_back(target)
    new = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent))
    try:
        yield new
        new.chmod(_permissions(target, 0o777))
        _swap(new, target)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def present(folder: Path) -> Path:
    """The folder, or where it is missing the old one that a kill during its replacement left aside."""
    old = _aside(Path(os.path.realpath(folder)))
    return old if not folder.exists() and old.exists() else folder


def _aside(target: Path) -> Path:
    return target.with_name(f".{target.name}.old")


def _put_back(target: Path) -> None:
    """Undo, or finish, a replacement that was killed."""
    old = _aside(target)
    if target.exists():
        shutil.rmtree(old, ignore_errors=True)
    elif old.exists():
        old.rename(target)


def _swap(new: Path, target: Path) -> None:
    if target.exists():
        target.rename(_aside(target))
    try:
        new.rename(target)
    finally:
        _put_back(target)
