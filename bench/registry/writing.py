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

    A folder cannot be replaced in one step. The old one is set aside under a name that `mended` knows.
    """
    target = Path(os.path.realpath(folder))
    target.parent.mkdir(parents=True, exist_ok=True)
    mended(target)
    new = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent))
    try:
        yield new
        new.chmod(_permissions(target, 0o777))
        _swap(new, target)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _aside(target: Path) -> Path:
    return target.with_name(f".{target.name}.old")


def _swap(new: Path, target: Path) -> None:
    old = _aside(target)
    if target.exists():
        target.rename(old)
    try:
        new.rename(target)
    except OSError:
        mended(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def mended(folder: Path) -> Path:
    """The folder, put back where a kill left it set aside; an old one beside a complete new one is removed."""
    target = Path(os.path.realpath(folder))
    old = _aside(target)
    if old.exists() and target.exists():
        shutil.rmtree(old, ignore_errors=True)
    elif old.exists():
        with contextlib.suppress(FileNotFoundError):  # another process put it back
            old.rename(target)
    return folder
