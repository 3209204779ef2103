"""Which files a job reads, and which code it executes: recorded where Python opens and imports them.

A hook of the interpreter sees every file that Python code opens. It does not see what a library opens in C, C++ or
Rust, what another process opens, environment variables or the network.
"""

from __future__ import annotations

import functools
import importlib.metadata
import linecache
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from bench.registry import loading, targets
from bench.registry.catalogue import package_folder
from bench.results.freshness import DIGITS, state

CALLING = ("hardware", "structure", "sweep", "training")
"""Rooms of `bench` that call networks, metrics and datasets: what stands above them did not decide what is opened."""
READING = ("registry", "results", "spec")
"""Rooms of `bench` that read files for themselves: declarations, versions of libraries."""
SHOWING = (linecache.__file__, os.path.dirname(importlib.metadata.__file__))
"""Code of Python that reads a source text to show its lines, or looks for versions: no value is made of it."""
PASSING = ("/proc/", "/sys/", "/dev/")


@dataclass
class Reading:
    """What was read of one file: digests of its content, one unless it changed, and the modules that read it."""

    digests: set[str] = field(default_factory=set)
    by: set[str] = field(default_factory=set)
    anyone: bool = False
    is_module: bool = False


@dataclass
class Record:
    """Everything that this process read; a job inherits that of its fork server."""

    readings: dict[str, Reading] = field(default_factory=dict)
    written: set[str] = field(default_factory=set)
    ignored: frozenset[str] = frozenset()


RECORD = Record()
_quiet = threading.local()
_lock = threading.Lock()
_hooked: list[bool] = []


def start() -> None:
    """Record from now on, in this process and in those that are forked from it."""
    if not _hooked:
        _hooked.append(True)
        _folders(CALLING + READING), _folders(READING)  # they import modules
        loading.install()
        loading.OBSERVERS.append(_loaded)
        sys.addaudithook(_hook)


@contextmanager
def quiet() -> Iterator[None]:
    """What this thread opens meanwhile is not recorded."""
    before = getattr(_quiet, "on", False)
    _quiet.on = True
    try:
        yield
    finally:
        _quiet.on = before


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or getattr(_quiet, "on", False):
        return
    with quiet():
        name, mode, flags = arguments
        if isinstance(name, (str, bytes, os.PathLike)):
            _opened(os.path.abspath(os.fsdecode(name)), mode, flags)


def _opened(path: str, mode: str | None, flags: int) -> None:
    if path.endswith(".pyc") or path.startswith(PASSING) or loading.is_installed(path) or path in RECORD.ignored:
        return
    if any(letter in (mode or "") for letter in "wax+") or flags & (os.O_WRONLY | os.O_RDWR):
        RECORD.written.add(path)
    elif path not in RECORD.written and not os.path.isdir(path):
        by = _readers(sys._getframe(1))
        if by is not None:
            _note(path, state(path), by, anyone=not by)


def _loaded(path: str, digest: str) -> None:
    by = _readers(_caller_of_loader()) or set()
    _note(path, digest[:DIGITS], by, is_module=True)


def _caller_of_loader() -> FrameType | None:
    """The frame that called our loader of modules, which called this module."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename in (__file__, loading.__file__):
        frame = frame.f_back
    return frame


def _note(path: str, digest: str, by: set[str], anyone: bool = False, is_module: bool = False) -> None:
    with _lock:
        reading = RECORD.readings.setdefault(path, Reading())
        reading.digests.add(digest)
        reading.by |= by
        reading.anyone |= anyone
        reading.is_module |= is_module


def _readers(frame: FrameType | None) -> set[str] | None:
    """Files of the code on the stack, up to that of ours which called it; None where a module is looked for or read."""
    files: set[str] = set()
    if _is_import(frame):
        return None
    for name in _code_files(frame):
        if name.startswith(SHOWING):
            return None
        if name.startswith(_folders(READING)) and name != targets.__file__ and not files:
            return None
        if name.startswith(_folders(CALLING + READING)) and name != targets.__file__:
            break
        if not loading.is_installed(name):
            files.add(os.path.realpath(name))
    return files


def _is_import(frame: FrameType | None) -> bool:
    """Whether Python's import system opens the file for itself, not for a caller that asked for data."""
    while frame is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    if frame is None or not frame.f_code.co_filename.startswith(("<frozen importlib", "<frozen zipimport")):
        return False
    asks = frame.f_back.f_code if frame.f_code.co_name == "get_data" and frame.f_back else None
    return asks is None or asks.co_name == "get_code"


def _code_files(frame: FrameType | None) -> Iterator[str]:
    """The files of the functions on the stack, the innermost first; what is no file (`<string>`) is left out."""
    while frame is not None:
        if not frame.f_code.co_filename.startswith("<") and frame.f_code.co_filename != __file__:
            yield frame.f_code.co_filename
        frame = frame.f_back


@functools.cache
def our_folder() -> str:
    """The folder of the package `bench`, as a prefix of paths."""
    return f"{os.path.realpath(package_folder('bench'))}{os.sep}"


@functools.cache
def _folders(rooms: tuple[str, ...]) -> tuple[str, ...]:
    ours = package_folder("bench")
    return tuple(f"{ours / room}{os.sep}" for room in rooms)
