"""Where a registered function stands, for messages about it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any


def place_of(call: Callable[..., Any]) -> str:
    """`plugins/mine.py:12`, relative to the working folder where it is below; the module where there is no file."""
    function = inspect.unwrap(call)
    code = getattr(function, "__code__", None)
    if code is None:
        return str(getattr(function, "__module__", function))
    path = Path(code.co_filename)
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return f"{shown.as_posix()}:{code.co_firstlineno}"
