"""The traceback of a failure as it is stored: places relative to the project or a package, never those of a machine."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from traceback import FrameSummary, StackSummary, TracebackException
from typing import Any

from bench.registry.places import is_of_user, origin, place_of
from bench.results.encoding import traceback_text

_PACKAGES = re.compile(r".*/(?:site-packages|dist-packages)/")
_LIBRARY = re.compile(r".*/(?=python\d+(?:\.\d+)?/)")
_ABSOLUTE = re.compile(r"(?<![\w.:/~])(?:/|[A-Za-z]:\\)(?:[\w.@+-]+[/\\])+(?=[\w.@+-])")
"""The folders of an absolute path in a message."""
_PLACE = re.compile(r"[\w-]\.py:\d+")
"""A file and a line."""


def stored_traceback(error: BaseException) -> str:
    """The traceback of an exception and of those that led to it, shortened."""
    summary = TracebackException.from_exception(error)
    for part in _parts(summary):
        _make_relative(part.stack)
    return traceback_text(without_folders("".join(summary.format())))


def with_place(text: str, error: BaseException | None, *owners: Callable[..., Any]) -> str:
    """The text of a failure with the line of the user's code that it comes from: `... (metric.py:12)`.

    Where the exception did not pass through such code, the place of the first of `owners` that is the user's own.
    """
    where = origin(error) if error is not None else ""
    where = where or next((place_of(owner) for owner in owners if _written_by_user(owner)), "")
    where = Path(where).name if Path(where).is_absolute() else where
    return text if not where or _PLACE.search(text) or text.startswith("oom:") else f"{text} ({where})"


def _written_by_user(function: Callable[..., Any]) -> bool:
    code = getattr(inspect.unwrap(function), "__code__", None)
    return code is not None and is_of_user(code.co_filename)


def _parts(summary: TracebackException) -> Iterator[TracebackException]:
    """The exception, those that led to it, and those of a group."""
    yield summary
    led = [summary.__cause__, summary.__context__, *(getattr(summary, "exceptions", None) or ())]
    for each in led:
        if each is not None:
            yield from _parts(each)


def _make_relative(stack: StackSummary) -> None:
    for frame in stack:
        _ = frame.line  # is read from the file, which has another name afterwards
        frame.filename = place(frame)


def place(frame: FrameSummary) -> str:
    """`bench/sweep/worker.py`, `site-packages/torch/nn/modules/conv.py`, `python3.11/json/encoder.py`, or a name."""
    path = Path(frame.filename)
    text = path.as_posix()
    for root in (Path.cwd(), *_project()):
        if path.is_relative_to(root) and "site-packages" not in text:
            return path.relative_to(root).as_posix()
    if _PACKAGES.match(text):
        return _PACKAGES.sub("site-packages/", text)
    return _LIBRARY.sub("", text) if _LIBRARY.match(text) else path.name


def _project() -> Iterator[Path]:
    """The folder that `bench` lies in."""
    file = getattr(sys.modules.get("bench"), "__file__", None)
    if file:
        yield Path(file).parents[1]


def without_folders(text: str) -> str:
    """The text with the folders of absolute paths left out: `.../images/a.png`, as far as they are a machine's."""
    return _ABSOLUTE.sub(".../", text)
