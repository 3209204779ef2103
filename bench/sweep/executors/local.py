"""Jobs on this machine, each in a process of its own, so that a process that dies costs one measurement only.

A fork server imports what jobs need once (`preloading`); a job then starts in about 0.1 s, below a supervisor that ends
all that the job started. Where there is no fork server (Windows), processes are spawned, without a supervisor.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import psutil

from bench.hardware.streams import open_standard_streams
from bench.sweep.executors import Emit, Exit, Job, Lane, Progress, WorkerError, imports
from bench.sweep.executors.reservation import lock_folder, reserved
from bench.sweep.executors.supervisor import supervised

_WAITING, _STARTED, _ITEM, _ENDED, _REFUSED = "waiting", "started", "item", "ended", "refused"

LOST = 255
"""The exit status that multiprocessing gives a process whose fork server was killed."""

UNGUARDED = 97
"""The exit status of a worker process that was asked, while it was starting, to start worker processes itself."""

STARTING = "fovbench worker that starts"
"""The name of a worker process until its job begins."""

PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""Seconds between the attempts to start a process: a fork server that was killed is replaced once it has ended."""

GRACE = 10.0
"""Seconds that a supervisor has to end its job before it is killed."""

SLICE, LATE = 5.0, 2.0
"""Seconds that are waited for a message at once; a wait this much longer means that this process was suspended."""

FROM_OUTSIDE = ("SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT", "SIGXCPU", "SIGPWR")
"""Signals that end a process and that no fault of a network raises: SIGXCPU is a limit on CPU time (`ulimit -t`)."""

CAUSES = {"SIGKILL": " (was it out of memory?)", "SIGBUS": " (was /dev/shm or a disk full?)"}

OUT_OF_MEMORY = re.compile(
    r"can't allocate memory|cannot allocate memory|not enough memory: you tried to allocate|bad_alloc|_ALLOC_FAILED"
    r"|\b(CUDA|HIP|XPU|MPS)\b.*\bout of memory\b",
    re.IGNORECASE,
)
"""What libraries say that raise no error of their own for it: torch's allocators, C++, cuBLAS, cuDNN, the system."""


class LocalExecutor:
    """At most `workers` processes at once; `preload` names the modules that the fork server imports.

    Raises WorkerError where devices cannot be locked.
    """

    def __init__(self, workers: int, preload: Sequence[str] = ()) -> None:
        if multiprocessing.current_process().name == STARTING:
            os._exit(UNGUARDED)
        open_standard_streams()
        methods = multiprocessing.get_all_start_methods()
        self._context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
        if "forkserver" in methods:
            os.environ[imports.VARIABLE] = ",".join(preload)
            modules = ("bench.sweep.watching", "bench.sweep.executors.local", "bench.sweep.executors.in_advance")
            self._context.set_forkserver_preload([*modules])
        lock_folder()
        self.workers = workers
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
            end_process(process)
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _supervise(self, job: Job, receive: Emit, timeout: float, device: str, lane: Lane) -> Exit:
        if self._stopped.is_set():
            return Exit("stopped: the run was ended")
        process, ours, report = _started(self._context, job, device, lane)
        self._processes.add(process)
        try:
            return _followed(process, ours, receive, timeout, report)
        finally:
            end_process(process)
            self._processes.discard(process)
            ours.close()
            report.close()


def _started(context: Any, job: Job, device: str, lane: Lane) -> tuple[Any, Connection, Connection]:
    """A started process, the pipe of its job's messages, and the pipe of its exit code. Raises WorkerError."""
    _check_script()
    try:
        (ours, theirs), (report, reporting) = context.Pipe(duplex=False), context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(job, theirs, reporting, device, lane), name=STARTING)
        _start(process)
    except (OSError, EOFError) as error:
        raise WorkerError(f"no worker process can be started: {error or 'its fork server ends at once'}") from error
    theirs.close()
    reporting.close()
    return process, ours, report


def _check_script() -> None:
    """Raises WorkerError for a script from standard input, which a worker process cannot read again."""
    script = getattr(sys.modules["__main__"], "__file__", None)
    if script == "<stdin>":
        raise WorkerError("a script from standard input cannot start worker processes: save it as a file and run that")


def _start(process: Any) -> None:
    """Start a process, also where the fork server was killed a moment ago. Raises OSError, EOFError if none answers."""
    for pause in PAUSES:
        with contextlib.suppress(ConnectionError, EOFError):
            _start_once(process)
            return
        time.sleep(pause)
    _start_once(process)


def _start_once(process: Any) -> None:
    served = isinstance(process, getattr(multiprocessing.context, "ForkServerProcess", ()))
    with imports.with_our_path() if served else contextlib.nullcontext():
        process.start()


def _followed(process: Any, pipe: Connection, receive: Emit, timeout: float, report: Connection | None = None) -> Exit:
    """Pass on what the job sends until it ends, dies, or sends nothing for longer than `timeout`, in seconds.

    Time in which this process itself is suspended does not count. Raises WorkerError where the job cannot be run.
    """
    deadline: float | None = None
    sources: list[Any] = [pipe, process.sentinel]
    while True:
        before = time.monotonic()
        left = None if deadline is None else max(0.0, min(deadline - before, SLICE))
        if not multiprocessing.connection.wait(sources, left):
            now = time.monotonic()
            deadline = (deadline or now) + _suspended(now - before - (left or 0.0))
            if now >= deadline:
                return Exit(f"timeout: no result within {timeout:g} s")
            continue
        message = _message(pipe) if pipe in sources else None
        if message is None and report is not None and pipe in sources:
            sources = [report, process.sentinel]  # the supervisor reports once nothing of the job is left
            continue
        if message is None:
            return _death(process, report, started=deadline is not None)
        tag, item = message
        if tag == _ENDED:
            return Exit(*item) if item else Exit()
        if tag == _REFUSED:
            raise WorkerError(item)
        if tag in (_ITEM, _WAITING):
            receive(item)
        if not isinstance(item, Progress):
            deadline = time.monotonic() + timeout


def _suspended(late: float) -> float:
    """The seconds that this process was suspended, by how much later than it asked for it woke."""
    return late if late > LATE else 0.0


def _message(pipe: Connection) -> Any:
    """The next message of a job; None where the pipe has ended, in the middle of a message or between two."""
    try:
        return pipe.recv() if pipe.poll() else None
    except (EOFError, OSError):
        return None


def _death(process: Any, report: Connection | None, started: bool) -> Exit:
    """How a job ended that did not say it itself. Raises WorkerError where its process did not even start."""
    code = _message(report) if report is not None else None
    if code is not None:
        return _exit(code)
    process.join()
    if not started and 0 < process.exitcode != LOST:
        raise WorkerError(_unstarted(process.exitcode))
    if report is None and process.exitcode != LOST:
        return _exit(process.exitcode)
    return Exit("died: killed by SIGKILL, or the process that started it was", "outside")


def _unstarted(code: int) -> str:
    if code != UNGUARDED:
        return f"a worker process could not start (exit status {code}); its error is printed above"
    script = getattr(sys.modules["__main__"], "__file__", "the script")
    return (
        f"{script}: measures when it is imported, and every worker process imports it\n"
        'put what it does below a line `if __name__ == "__main__":`'
    )


def _exit(code: int) -> Exit:
    """The end of a job by the exit code of its process, which is negative for a signal."""
    if code >= 0:
        return Exit(f"died: the process ended with exit status {code} before its work was done")
    name = _signal(-code)
    error = f"died: killed by {name}{CAUSES.get(name, '')}"
    return Exit(error, "killed" if name == "SIGKILL" else "outside" if name in FROM_OUTSIDE else "")


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def end_process(process: Any) -> None:
    """End a job: ask its supervisor, and kill what does not end. Also where the fork server was killed."""
    if process.pid is None or process.exitcode not in (None, LOST):
        return
    with contextlib.suppress(psutil.NoSuchProcess):
        supervisor = psutil.Process(process.pid)
        supervisor.terminate()
        if not _has_ended(supervisor):
            for each in [*supervisor.children(recursive=True), supervisor]:
                with contextlib.suppress(psutil.Error):
                    each.kill()
            _has_ended(supervisor)


def _has_ended(process: psutil.Process) -> bool:
    """Whether a process ends soon. It may be no child of this one, and a zombie if nobody asks for its exit code."""
    ends = time.monotonic() + GRACE
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > ends:
            return False
        time.sleep(0.001)
    return True


def _work(job: Job, pipe: Connection, report: Connection, device: str, lane: Lane) -> None:
    """What a worker process does from start to end."""
    multiprocessing.current_process().name = "fovbench worker"
    perform_supervised(partial(_perform, job, pipe, device, lane), pipe, report)


def perform_supervised(perform: Callable[[], None], pipe: Connection, report: Connection) -> None:
    """Run `perform`, which writes to `pipe`, so that it and all that it starts end with this process's driver."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the driver
    os.dup2(2, 1)
    if hasattr(os, "fork"):
        os.setsid()
        supervised(perform, pipe, report)
    else:
        report.close()
        threading.Thread(target=_end_with_driver, daemon=True).start()
        perform()


def _end_with_driver() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def _perform(job: Job, pipe: Connection, device: str, lane: Lane) -> None:
    """Run one job on its device; say how it ended. An error may have an attribute `fault`, as an exit has."""
    try:
        with reserved(device, lane, lambda text: pipe.send((_WAITING, Progress(text, 0, 0)))):
            pipe.send((_STARTED, None))
            job(lambda item: pipe.send((_ITEM, item)))
        pipe.send((_ENDED, None))
    except WorkerError as error:
        pipe.send((_REFUSED, str(error)))
    except BaseException as error:  # sys.exit and what else a network may raise are its own end too
        fault = getattr(error, "fault", "")
        pipe.send((_ENDED, (described(error), fault if fault in ("killed", "outside") else "")))


OWN_KINDS = ("failed", "timeout", "diverged")
"""What errors of ours say in an attribute `kind`; foreign errors may have an attribute of that name too."""


def described(error: BaseException) -> str:
    """An exception as the error of a measurement: its kind, its type, its first line."""
    first = (_text(error).splitlines() or [""])[0].strip()
    if _out_of_memory(error):
        return f"oom: {first or 'out of memory'}"
    kind = getattr(error, "kind", "")
    if kind in OWN_KINDS:
        return f"{kind}: {first.removeprefix(kind).strip()}"
    return f"failed: {type(error).__name__}: {first}".rstrip(": ")


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as fault:  # the text is made by foreign code
        return f"its text cannot be shown ({type(fault).__name__})"


def _out_of_memory(error: BaseException) -> bool:
    """Whether memory was short: by the type of the error or of a cause, or by what a library says in it."""
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__) is not None and cause not in chain:
        chain.append(cause)
    return any(_says_out_of_memory(each) for each in chain)


def _says_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, (RuntimeError, OSError)) and OUT_OF_MEMORY.search(_text(error)) is not None
