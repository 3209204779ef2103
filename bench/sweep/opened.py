"""Which files a job reads, and which code it executes: recorded where Python opens and imports them.

A hook of the interpreter sees every file that Python code opens. It does not see what a library opens in C, C++ or
Rust, what another process opens, environment variables or the network.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from bench.registry import loading
from bench.registry.catalogue import package_folder
from bench.results.freshness import DIGITS, state

BOUNDARY = ("hardware", "registry", "results", "spec", "structure", "sweep", "training")
"""Rooms of `bench` that call networks, metrics and datasets: what stands above them did not decide what is opened."""
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
    """Files of the code on the stack, up to that of ours which called it; None where our loader reads a module."""
    files: set[str] = set()
    for name in _code_files(frame):
        if name == loading.__file__:
            return None
        if name.startswith(_boundary()):
            break
        if not loading.is_installed(name):
            files.add(os.path.realpath(name))
    return files


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
def _boundary() -> tuple[str, ...]:
    ours = package_folder("bench")
    return tuple(f"{ours / room}{os.sep}" for room in BOUNDARY)
