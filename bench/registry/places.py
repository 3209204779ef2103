"""Where a registered function stands, for messages about it."""

from __future__ import annotations

import inspect
import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.registry.builtin import PACKAGE
from bench.registry.loading import is_installed


def place_of(call: Callable[..., Any]) -> str:
    """`plugins/mine.py:12`, relative to the working folder where it is below; the module where there is no file."""
    function = inspect.unwrap(call)
    code = getattr(function, "__code__", None)
    if code is None:
        return str(getattr(function, "__module__", function))
    return f"{shown(code.co_filename)}:{code.co_firstlineno}"


def shown(file: str | Path) -> str:
    """A file relative to the working folder where it is below."""
    path = Path(file)
    return (path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path).as_posix()


def is_of_user(file: str) -> bool:
    """Whether code of this file is neither ours nor of Python or an installed package."""
    ours = (str(PACKAGE), str(PACKAGE.with_name("architectures")))
    return not file.startswith(("<", *(f"{folder}{os.sep}" for folder in ours))) and not is_installed(file)


def origin(error: BaseException) -> str:
    """`network.py:27`: the innermost line of the user's code that led to an exception; empty where there is none."""
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None and cause not in causes:
        causes.append(cause)
    for each in reversed(causes):
        for frame in reversed(traceback.extract_tb(each.__traceback__)):
            if is_of_user(frame.filename):
                return f"{shown(frame.filename)}:{frame.lineno}"
    return ""
