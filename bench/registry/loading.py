"""Modules of the project and of plug-ins, executed from exactly the text that is digested.

Python's own loader runs bytecode that it cached for a file of the same size and second, and keeps no text to compare
with. This one compiles what it reads, and records the digest of it.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.machinery
import os
import sys
from collections.abc import Callable, Sequence
from types import CodeType, ModuleType

EXECUTED: dict[str, set[str]] = {}
"""Real path of a module -> digests of the texts of it that this process, or its fork server, executed."""

OBSERVERS: list[Callable[[str, str], None]] = []
"""Called with real path and digest of a module's text before the module is executed."""


def text_digest(content: bytes) -> str:
    """The digest of a file's bytes, as `file_digest` gives it."""
    return hashlib.sha256(content).hexdigest()


@functools.cache
def installed_folders() -> tuple[str, ...]:
    """Folders of the interpreter and of installed packages; what lies there counts by its version."""
    import site
    import sysconfig

    paths = sysconfig.get_paths()
    folders = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    folders += [*site.getsitepackages(), site.getusersitepackages()]
    folders += [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    real = (os.path.realpath(folder) for folder in folders)
    return tuple(dict.fromkeys(folder + os.sep for folder in (*folders, *real)))


def is_installed(path: str) -> bool:
    """Whether a file belongs to the interpreter or to an installed package."""
    return path.startswith(installed_folders()) or path.startswith("<")


class ExactLoader(importlib.machinery.SourceFileLoader):
    """Compiles the text that it reads, without cached bytecode, and records its digest."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        content = self.get_data(path)
        place, digest = os.path.realpath(path), text_digest(content)
        EXECUTED.setdefault(place, set()).add(digest)
        for observer in OBSERVERS:
            observer(place, digest)
        code: CodeType = self.source_to_code(content, path)
        return code


class ExactFinder:
    """Finds what the other finders find; modules that are not installed get an ExactLoader."""

    @classmethod
    def find_spec(
        cls, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        for finder in sys.meta_path:
            spec = None if finder is cls else finder.find_spec(name, path, target)
            if spec is not None:
                return _exact(spec)
        return None


def _exact(spec: importlib.machinery.ModuleSpec) -> importlib.machinery.ModuleSpec:
    loader = spec.loader
    if type(loader) is importlib.machinery.SourceFileLoader and not is_installed(os.path.realpath(loader.path)):
        spec.loader = ExactLoader(spec.name, loader.path)
    return spec


def install() -> None:
    """Load every further module of this process that is not installed with an ExactLoader."""
    if ExactFinder not in sys.meta_path:
        installed_folders()  # imports modules itself
        sys.meta_path.insert(0, ExactFinder)
