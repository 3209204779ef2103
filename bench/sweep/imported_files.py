"""Whether a file is a module of this process."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from itertools import takewhile

_remembered: set[str] = set()
_last = [""]


def remember() -> None:
    """Resolve the files of all modules that are imported now, so that this process and its forks need not again.

    A fork that only looked at these thousands of modules would copy their memory.
    """
    _remembered.update(_real_files(sys.modules))
    _last[0] = next(reversed(sys.modules))


def is_imported(path: str) -> bool:
    """Whether a module of this process comes from the file with this real path."""
    return path in _remembered or path in _real_files(takewhile(lambda name: name != _last[0], reversed(sys.modules)))


def _real_files(names: Iterable[str]) -> Iterator[str]:
    """The real paths of the files of these modules."""
    files = (getattr(sys.modules.get(name), "__file__", None) for name in list(names))
    return (os.path.realpath(file) for file in files if file)
