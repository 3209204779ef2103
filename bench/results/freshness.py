"""Files that a value was made of and that its key does not name: how they are written, and whether they are the same.

A file is written relative to the folder that it lies below: the data folder (`data:lists/train.txt`), the project's
folder (`w.pt`), or that of a plug-in (`plugin net:w.pt`). No path of a machine is stored.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

from bench.registry import RegistryError
from bench.registry.catalogue import CatalogueError, plugin_source
from bench.registry.project import located, project

EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""What the system says when it gives this process no more file descriptors, or no memory for one."""

ABSENT, UNREADABLE = "absent", "unreadable"
"""What stands for the digest of a file that is not there, and of one that may not be read."""
DATA, PLUGIN = "data:", "plugin "
MODULE = "module "
"""Begins the record of a module that lies elsewhere: in a package that is installed from the folder it is edited in."""


@dataclass(frozen=True)
class Places:
    """The folders below which files are recorded. `plugins` are (name of a plug-in's file, its folder)."""

    project: str
    data: str | None = None
    plugins: tuple[tuple[str, str], ...] = ()

    def written(self, path: str) -> str | None:
        """How the absolute `path` is stored; None for a file below none of the folders."""
        return next(self._written(path), None)

    def _written(self, path: str) -> Iterator[str]:
        for place in dict.fromkeys((path, os.path.realpath(path))):
            for prefix, folder in self._folders():
                if place.startswith(folder.rstrip(os.sep) + os.sep):
                    yield prefix + Path(place).relative_to(folder).as_posix()

    def _folders(self) -> Iterator[tuple[str, str]]:
        if self.data is not None:
            yield DATA, self.data
        yield "", self.project
        yield from ((f"{PLUGIN}{name}:", folder) for name, folder in self.plugins)

    def path(self, written: str) -> Path | None:
        """The file that is stored as `written`; None where its folder is not given: the data are not here."""
        for prefix, folder in self._folders():
            if prefix and written.startswith(prefix):
                return Path(folder, written.removeprefix(prefix))
        return None if written.startswith((DATA, PLUGIN)) else Path(self.project, written)


def places(plugins: Sequence[str], architectures: Sequence[str] = (), data: Path | None = None) -> Places:
    """The folders of the project, of plug-ins, and of architectures that are named `file.py:function`."""
    files = [*plugins, *(name.rpartition(":")[0] for name in dict.fromkeys(architectures) if ":" in name)]
    folders = dict(_folder(file) for file in files if file.endswith(".py") and located(file).is_file())
    own = None if data is None else os.path.abspath(data)
    return Places(os.path.abspath(project().folder), own, tuple(sorted(folders.items())))


def _folder(file: str) -> tuple[str, str]:
    path = located(file).resolve()
    return path.stem, str(path.parent)


def state(path: str | Path) -> str:
    """The digest of a regular file's bytes, remembered by size and dates; ABSENT or UNREADABLE where there is none.

    Raises OSError where this process can open no more files: that says nothing about the file.
    """
    try:
        stat = os.stat(path)
        if not S_ISREG(stat.st_mode):
            return UNREADABLE
        return _digest(str(path), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
    except (FileNotFoundError, NotADirectoryError):
        return ABSENT
    except OSError as error:
        if error.errno in EXHAUSTED:
            raise
        return UNREADABLE


@functools.lru_cache(maxsize=100_000)
def _digest(path: str, *_: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:DIGITS]


DIGITS = 20
"""Hexadecimal digits of a stored digest."""


def changes(files: Mapping[str, str], where: Places) -> tuple[str, ...]:
    """What is different about recorded files, a line for each: `w.pt: content changed since`."""
    return tuple(line for line in (_change(*item, where) for item in sorted(files.items())) if line)


def _change(written: str, digest: str, where: Places) -> str:
    path = _module_file(written) if written.startswith(MODULE) else where.path(written)
    now = digest if path is None else state(path)
    if now == digest:
        return ""
    if now in (ABSENT, UNREADABLE):
        return f"{written}: " + ("no longer there" if now == ABSENT else "can no longer be read")
    return f"{written}: " + ("was not there" if digest == ABSENT else "content changed since")


def _module_file(written: str) -> Path:
    name = written.removeprefix(MODULE)
    try:
        return plugin_source(name).path
    except (CatalogueError, RegistryError):
        return Path(name)


def checker(where: Places) -> Callable[[str], tuple[str, ...]]:
    """`changes` of files as the store has them, as JSON; each distinct text is read once."""

    @functools.cache
    def changed(text: str) -> tuple[str, ...]:
        return () if text == "{}" else changes(json.loads(text), where)

    return changed
