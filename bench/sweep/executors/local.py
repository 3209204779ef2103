"""Jobs on this machine, each in a process of its own, so that a process that dies costs one measurement only.

A fork server imports the large libraries once; a job then starts in about 0.1 s. Where there is no fork server
(Windows), processes are spawned.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bench.registry.cache import cache_folder
from bench.sweep.executors import Emit, Exit, Job, Lane, Progress

_WAITING, _STARTED, _ITEM, _ENDED = "waiting", "started", "item", "ended"

PATIENCE = 3.0
"""Seconds after which a job that waits for its device prints that it waits."""


LOST = 255
"""The exit status that multiprocessing gives a process whose fork server was killed."""


class WorkerError(RuntimeError):
    """Worker processes cannot be started at all, so that the run ends; no measurement is to blame."""


STARTS, PAUSE = 100, 0.1
"""How often a start is tried, and the seconds between: a fork server that was killed is replaced once it has ended."""


class LocalExecutor:
    """At most `workers` processes at once; `preload` names the modules that the fork server imports."""

    def __init__(self, workers: int, preload: Sequence[str] = ()) -> None:
        methods = multiprocessing.get_all_start_methods()
        self._context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
        if "forkserver" in methods:
            self._context.set_forkserver_preload(["bench.sweep.watching", "bench.sweep.executors.local", *preload])
        _lock_folder()
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="job")
        self._processes: set[Any] = set()
        self._stopped = threading.Event()

    def submit(
        self, job: Job, receive: Emit, *, timeout: float, device: str = "cpu", lane: Lane = "shared"
    ) -> Future[Exit]:
        return self._threads.submit(self._supervise, job, receive, timeout, device, lane)

    def stop(self) -> None:
        self._stopped.set()
        for process in list(self._processes):
            _end(process)
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _supervise(self, job: Job, receive: Emit, timeout: float, device: str, lane: Lane) -> Exit:
        if self._stopped.is_set():
            return Exit("stopped: the run was ended")
        ours, theirs = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_work, args=(job, theirs, device, lane))
        _start(process)
        theirs.close()
        self._processes.add(process)
        try:
            return _followed(process, ours, receive, timeout)
        finally:
            _end(process)
            self._processes.discard(process)
            ours.close()


def _followed(process: Any, pipe: Connection, receive: Emit, timeout: float) -> Exit:
    """Pass on what the job sends until it ends, dies, or sends nothing for longer than `timeout`, in seconds."""
    deadline: float | None = None
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not multiprocessing.connection.wait([pipe, process.sentinel], left):
            return Exit(f"timeout: no result within {timeout:g} s")
        try:
            if not pipe.poll():  # the process is dead, but a child of it may keep the pipe open
                raise EOFError
            tag, item = pipe.recv()
        except (EOFError, ConnectionError):
            process.join()
            if deadline is None and 0 < process.exitcode != LOST:
                status = process.exitcode
                message = f"a worker process could not start (exit status {status}); its error is printed above"
                raise WorkerError(message) from None
            return Exit(_death(process.exitcode))
        if tag == _ENDED:
            return Exit(item)
        if tag in (_ITEM, _WAITING):
            receive(item)
        if not isinstance(item, Progress):
            deadline = time.monotonic() + timeout


def _death(code: int) -> str:
    if code == LOST:
        return "died: killed by SIGKILL, or its fork server was"
    if code >= 0:
        return f"died: the process ended with exit status {code} before its work was done"
    name = signal.Signals(-code).name
    cause = " (was it out of memory?)" if name == "SIGKILL" else ""
    return f"died: killed by {name}{cause}"


def _end(process: Any) -> None:
    """Kill a job's process and its process group, also where the process itself is dead already."""
    if process.pid is None:
        return
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    if process.is_alive():
        process.kill()
    process.join()


def _work(job: Job, pipe: Connection, device: str, lane: Lane) -> None:
    """Run one job in its process, from start to end."""
    _detach()
    try:
        with _reserved(device, lane, lambda text: pipe.send((_WAITING, Progress(text, 0, 0)))):
            pipe.send((_STARTED, None))
            job(lambda item: pipe.send((_ITEM, item)))
        pipe.send((_ENDED, None))
    except Exception as error:
        pipe.send((_ENDED, described(error)))


def described(error: BaseException) -> str:
    """An exception as the error of a measurement: its kind, its type, its first line."""
    first = (str(error).splitlines() or [""])[0].strip()
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return f"oom: {first or 'out of memory'}"
    kind = getattr(error, "kind", "")
    if kind:
        return f"{kind}: {first.removeprefix(kind).strip()}"
    return f"failed: {type(error).__name__}: {first}".rstrip(": ")


def _start(process: Any) -> None:
    """Start a process, also where the fork server was killed a moment ago. Raises ConnectionError if none answers."""
    for attempt in range(STARTS):
        try:
            process.start()
            return
        except (ConnectionError, EOFError):
            if attempt == STARTS - 1:
                raise
            time.sleep(PAUSE)


def _detach() -> None:
    """Leave Ctrl-C to the driver, print to stderr only, and end when the driver ends."""
    if hasattr(os, "setsid"):
        with contextlib.suppress(PermissionError):
            os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdout.flush()
    os.dup2(2, 1)
    threading.Thread(target=_die_with_driver, daemon=True).start()


def _die_with_driver() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        if hasattr(os, "killpg"):
            os.killpg(0, signal.SIGKILL)
        os._exit(1)


def _lock_folder() -> Path:
    folder = cache_folder() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def _reserved(device: str, lane: Lane, say: Callable[[str], None]) -> Iterator[None]:
    """Reserve the device: shared with other jobs, or exclusively. The kernel releases it if the process is killed.

    Each job acquires a turnstile first. A job that needs the device exclusively keeps the turnstile while it waits, so
    that later jobs wait behind it: otherwise a series of training runs could delay a timing for ever.
    """
    from filelock import FileLock, ReadWriteLock

    name = _lock_folder() / device.replace(":", "-")
    turnstile, lock = FileLock(f"{name}.turnstile"), ReadWriteLock(f"{name}.db")
    _patiently(turnstile.acquire, say, f"waiting for {device}: another run measures a time, or waits to measure one")
    if lane == "shared":
        turnstile.release()
    _patiently(
        lock.acquire_write if lane == "exclusive" else lock.acquire_read,
        say,
        f"waiting for {device}: another run uses it, and a timing needs it exclusively",
    )
    turnstile.release()
    try:
        yield
    finally:
        lock.release()


def _patiently(acquire: Callable[..., object], say: Callable[[str], None], text: str) -> None:
    from filelock import Timeout

    try:
        acquire(timeout=PATIENCE)
    except Timeout:
        say(text)
        acquire()
