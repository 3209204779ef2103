"""Reservations of devices: jobs share a device, and a timing has it alone, across all runs of this user.

A reservation is a lock of the system on an empty file (POSIX record locks). The kernel releases it when its process
ends, however that happens, and no content of the file can break it. Windows has no such locks, and no timings.
"""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.registry.cache import cache_folder
from bench.sweep.executors import Lane, WorkerError

if sys.platform != "win32":
    import fcntl

PATIENCE, INTERVAL = 3.0, 0.02
"""Seconds after which a job that waits for its device says so, and between its attempts until then."""

SUFFIX = ".lock"


def locks_of_this_machine() -> Path:
    """Where the locks of this machine's devices are, made or not."""
    return cache_folder() / "locks" / platform.node()


def lock_folder() -> Path:
    """The folder of this machine's locks, made where it is missing. Raises WorkerError where that cannot be.

    Each machine has its own: where machines share the home folder of a user, their devices are still different ones.
    """
    folder = locks_of_this_machine()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _refusal(folder, error) from None
    return folder


@contextlib.contextmanager
def reserved(device: str, lane: Lane, say: Callable[[str], None]) -> Iterator[None]:
    """Reserve the device: shared with other jobs, or exclusively. Raises WorkerError where no lock can be made.

    Each job acquires a turnstile first. A job that needs the device exclusively keeps the turnstile while it waits, so
    that later jobs wait behind it: otherwise a series of training runs could delay a timing for ever. `say` receives
    what a job waits for.
    """
    place = lock_folder() / device.replace(":", "-")
    with contextlib.ExitStack() as turnstile, contextlib.ExitStack() as lock:
        queue = turnstile.enter_context(_opened(Path(f"{place}.turnstile")))
        _patiently(queue, True, say, f"waiting for {device}: another run measures a time, or waits to measure one")
        if lane == "shared":
            turnstile.close()
        file = lock.enter_context(_opened(Path(f"{place}{SUFFIX}")))
        waiting = f"waiting for {device}: another run uses it, and a timing needs it exclusively"
        _patiently(file, lane == "exclusive", say, waiting)
        turnstile.close()
        yield


def in_use(lock: Path) -> bool:
    """Whether a job holds this device's lock now, shared or exclusive. Raises WorkerError for what is no file."""
    with _opened(lock) as file:
        return not _acquired(file, exclusive=True, blocking=False)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    """The descriptor of a lock's file. Closing it releases the lock."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise _refusal(path, error) from None
    try:
        yield file
    finally:
        with contextlib.suppress(OSError):  # a job may have closed it: then it is released already
            os.close(file)


def _refusal(path: Path, error: OSError) -> WorkerError:
    place = f"{path}: {error.strerror or error}"
    return WorkerError(f"{place}; devices are locked there: mend it, or set XDG_CACHE_HOME to a folder for caches")


def _patiently(file: int, exclusive: bool, say: Callable[[str], None], text: str) -> None:
    ends = time.monotonic() + PATIENCE
    while not _acquired(file, exclusive, blocking=False):
        if time.monotonic() > ends:
            say(text)
            _acquired(file, exclusive, blocking=True)
            return
        time.sleep(INTERVAL)


def _acquired(file: int, exclusive: bool, blocking: bool) -> bool:
    if sys.platform == "win32":
        return True
    try:
        fcntl.lockf(file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | (0 if blocking else fcntl.LOCK_NB))
    except (BlockingIOError, PermissionError):  # another process has it (EAGAIN or EACCES)
        return False
    except OSError as error:
        raise WorkerError(f"this system cannot lock files in the folder of caches: {error}") from None
    return True
