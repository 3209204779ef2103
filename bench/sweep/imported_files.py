"""The files that the modules of this process come from."""

from __future__ import annotations

import functools
import os
import sys


def imported_files() -> set[str]:
    """The real paths of all modules that are imported now.

    A path is resolved once: there are thousands, and each job asks. What a process has resolved, its forks know.
    """
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    return {_real(file) for file in files if file}


@functools.cache
def _real(file: str) -> str:
    return os.path.realpath(file)
