"""A Python session that lasts: code that changed since it was read, in a notebook for instance, is read anew."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator

from bench.registry import catalogue
from bench.registry.catalogue import CatalogueError, declarations, own_declarations
from bench.results import keys, sources
from bench.results.freshness import DIGITS, state

_CACHED = (declarations, own_declarations, keys.files_behind, keys.instrument, *sources.CACHED)
_folders: set[str] = set()
"""The folders in which code was read: the path of a plug-in is relative to the current one."""


def read_changes() -> None:
    """Forget what was read of plug-ins that changed since, or of another current folder.

    Raises CatalogueError for a changed module of fovbench itself: this process executed the old one.
    """
    changed = set(_changed())
    for path in sorted(changed):
        if _is_ours(path):
            raise CatalogueError(f"{path}: changed since this Python session read it; restart Python")
    if changed or _folders - {os.getcwd()}:
        _forget(changed)
    _folders.add(os.getcwd())


def _changed() -> Iterator[str]:
    """Real paths of the files whose text is another one than was read."""
    for path, text in (*catalogue.DECLARED.items(), *sources.TEXTS.items()):
        if state(path) != text[:DIGITS]:
            yield os.path.realpath(path)


def _is_ours(path: str) -> bool:
    folders = (os.path.realpath(catalogue.package_folder(package)) for package in sources.OURS)
    return path.startswith(tuple(folder + os.sep for folder in folders))


def _forget(changed: Collection[str]) -> None:
    """Forget texts, declarations and keys, and the modules that must be imported anew: changed ones and plug-ins."""
    for function in _CACHED:
        function.cache_clear()
    catalogue.DECLARED.clear()
    sources.TEXTS.clear()
    _folders.clear()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name.startswith(catalogue.PLUGIN_PREFIX) or (file and os.path.realpath(file) in changed):
            catalogue.forget(name)
