"""Jobs on this machine, each in a process of its own, so that a process that dies costs one measurement only.

A fork server imports what jobs need once (`preloading`); a job then starts in about 0.1 s, below a supervisor that ends
all that the job started. Where there is no fork server (Windows), processes are spawned, without a supervisor.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import multiprocessing.util
import os
import pickle
import re
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler, send_handle
from typing import Any

import psutil

from bench.hardware.streams import open_standard_streams
from bench.sweep.executors import Emit, Exit, Fault, Job, Lane, Progress, WorkerError, imports
from bench.sweep.executors.disk import disk_fault
from bench.sweep.executors.reservation import lock_folder, reserved
from bench.sweep.executors.supervisor import served, supervised

_WAITING, _STARTED, _ITEM, _ENDED, _REFUSED = "waiting", "started", "item", "ended", "refused"
_UNREADABLE, _HALF = "unreadable", "half"

LOST = 255
"""The exit status that multiprocessing gives a process whose fork server was killed."""

UNGUARDED = 97
"""The exit status of a worker process that was asked, while it was starting, to start worker processes itself."""

UNHEARD = 98
"""The exit status of a job that cannot send anything any more, since its connection is closed."""

STARTING, NAME = "fovbench worker that starts", "fovbench worker"
"""The name of a worker process until it is ready for its first job, and after that."""

PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""Seconds between the attempts to start a process: a fork server that was killed is replaced once it has ended."""

GRACE = 10.0
"""Seconds that a supervisor has to end its job before it is killed."""

SLICE, LATE = 5.0, 2.0
"""Seconds that are waited for a message at once; a wait this much longer means that this process was suspended."""

FROM_OUTSIDE = ("SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT", "SIGXCPU", "SIGXFSZ", "SIGPWR")
"""Signals that end a process and that no fault of a network raises: SIGXCPU and SIGXFSZ are limits of `ulimit`, on CPU
time and on the size of files."""

AMBIGUOUS = ("SIGKILL", "SIGBUS")
"""Signals that a network's fault may raise, or the machine: memory or /dev/shm is full, a person ends a process."""

CAUSES = {"SIGKILL": " (was it out of memory?)", "SIGBUS": " (was /dev/shm or a disk full?)"}

OUT_OF_MEMORY = re.compile(
    r"can't allocate memory|cannot allocate memory|not enough memory: you tried to allocate|bad_alloc|_ALLOC_FAILED"
    r"|\b(CUDA|HIP|XPU|MPS)\b.*\bout of memory\b",
    re.IGNORECASE,
)
"""What libraries say that raise no error of their own for it: torch's allocators, C++, cuBLAS, cuDNN, the system."""


Work = tuple[Job, str, Lane]
"""A job, its device, its lane."""


class _Codes:
    """The exit codes of a worker's jobs, by which its supervisor says that nothing is left of a job.

    `complete`: whether that of the last job came. It is read as a connection is.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection, self.complete = connection, False

    def fileno(self) -> int:
        return self.connection.fileno()

    def poll(self, seconds: float = 0.0) -> bool:
        return self.connection.poll(seconds)

    def recv(self) -> Any:
        code = self.connection.recv()
        self.complete = True
        return code


@dataclass(eq=False)
class _Worker:
    """A process that performs jobs: one after the other where it is a supervisor, which has `requests` and `codes`."""

    process: Any
    requests: Connection | None = None
    codes: _Codes | None = None

    def begin(self, content: bytes) -> Connection:
        """Send a job; the pipe of its messages. Raises OSError where the process has ended."""
        assert self.requests is not None
        assert self.codes is not None
        ours, theirs = multiprocessing.Pipe(duplex=False)
        self.codes.complete = False
        with theirs:
            self.requests.send_bytes(content)
            send_handle(self.requests, theirs.fileno(), self.process.pid)
        return ours

    def end(self) -> None:
        """End its job and itself. May be called again."""
        end_process(self.process)
        if self.requests is not None and self.codes is not None:
            self.requests.close()
            self.codes.connection.close()


def _end_all(workers: set[_Worker]) -> None:
    for worker in list(workers):
        worker.end()


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
        self._workers: set[_Worker] = set()
        self._idle: deque[_Worker] = deque()
        self._stopped = threading.Event()
        multiprocessing.util.Finalize(self, _end_all, (self._workers,), exitpriority=10)

    def submit(
        self, job: Job, receive: Emit, *, timeout: float, device: str = "cpu", lane: Lane = "shared"
    ) -> Future[Exit]:
        return self._threads.submit(self._supervise, job, receive, timeout, device, lane)

    def stop(self) -> None:
        self._stopped.set()
        for worker in list(self._workers):  # their connections are still read by the threads
            end_process(worker.process)
        self._threads.shutdown(wait=True, cancel_futures=True)
        _end_all(self._workers)

    def _supervise(self, job: Job, receive: Emit, timeout: float, device: str, lane: Lane) -> Exit:
        if self._stopped.is_set():
            return Exit("stopped: the run was ended")
        worker, pipe = self._begun((job, device, lane))
        try:
            return _followed(worker.process, pipe, receive, timeout, worker.codes)
        finally:
            pipe.close()
            self._release(worker)

    def _begun(self, work: Work) -> tuple[_Worker, Connection]:
        """A worker that has begun the work, and the pipe of its messages: one that waits, or a new one."""
        content = bytes(ForkingPickler.dumps(work))
        while (worker := self._waiting()) is not None:
            with contextlib.suppress(OSError):  # it was killed meanwhile
                return worker, worker.begin(content)
            self._end(worker)
        worker, pipe = _started(self._context, content)
        self._workers.add(worker)
        if self._stopped.is_set():  # after `stop` had looked for workers
            end_process(worker.process)
        return worker, pipe

    def _waiting(self) -> _Worker | None:
        """A worker that waits for a job, taken from the others; None where there is none."""
        with contextlib.suppress(IndexError):
            return self._idle.popleft()
        return None

    def _release(self, worker: _Worker) -> None:
        """Keep a worker of whose job nothing is left for the next one, and end any other."""
        if worker.codes is not None and worker.codes.complete and not self._stopped.is_set():
            self._idle.append(worker)
        else:
            self._end(worker)

    def _end(self, worker: _Worker) -> None:
        worker.end()
        self._workers.discard(worker)


def _started(context: Any, content: bytes) -> tuple[_Worker, Connection]:
    """A new worker that has begun a job, and the pipe of the job's messages. Raises WorkerError."""
    _check_script()
    try:
        return (_supervisor if hasattr(os, "fork") else _spawned)(context, content)
    except (OSError, EOFError) as error:
        raise WorkerError(f"no worker process can be started: {error or 'its fork server ends at once'}") from error


def _supervisor(context: Any, content: bytes) -> tuple[_Worker, Connection]:
    (ours, theirs), (report, reporting) = context.Pipe(), context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(theirs, reporting), name=STARTING)
    _start(process)
    theirs.close()
    reporting.close()
    worker = _Worker(process, ours, _Codes(report))
    with contextlib.suppress(OSError):
        return worker, worker.begin(content)
    ended, pipe = context.Pipe(duplex=False)  # it ended while it started: the end of the pipe, then its exit status
    pipe.close()
    return worker, ended


def _spawned(context: Any, content: bytes) -> tuple[_Worker, Connection]:
    pipe, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(content, theirs), name=STARTING)
    _start(process)
    theirs.close()
    return _Worker(process), pipe


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


def _followed(process: Any, pipe: Connection, receive: Emit, timeout: float, report: _Codes | None = None) -> Exit:
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
        message = _whole_message(pipe, process, timeout) if pipe in sources else None
        if message is None and report is not None and pipe in sources:
            sources = [report, process.sentinel]  # the supervisor reports once nothing of the job is left
            continue
        if message is None:
            return _death(process, report, started=deadline is not None)
        tag, item = message if _is_ours(message) else (_UNREADABLE, type(message).__name__)
        if tag == _ENDED:
            if report is not None and report.poll(GRACE):
                report.recv()
            return Exit(*item) if item else Exit()
        if tag == _REFUSED:
            raise WorkerError(item)
        if tag == _UNREADABLE:
            return Exit(
                f"died: its messages cannot be read ({item}): it wrote to a file descriptor that is not its own"
            )
        if tag == _HALF:
            return Exit(f"timeout: it sent half a message, and the rest not within {timeout:g} s")
        if tag in (_ITEM, _WAITING):
            receive(item)
        if not isinstance(item, Progress):
            deadline = time.monotonic() + timeout


def _suspended(late: float) -> float:
    """The seconds that this process was suspended, by how much later than it asked for it woke."""
    return late if late > LATE else 0.0


def _whole_message(pipe: Connection, process: Any, timeout: float) -> Any:
    """As `_message`; ends the worker of a job that sends the first half of a message only, which is `_HALF`."""
    late = threading.Event()

    def end() -> None:
        late.set()
        end_process(process)

    timer = threading.Timer(timeout, end)
    timer.start()
    try:
        message = _message(pipe)
    finally:
        timer.cancel()
    return (_HALF, None) if message is None and late.is_set() else message


def _message(pipe: Connection | _Codes) -> Any:
    """The next message of a job; None where the pipe has ended, in the middle of a message or between two.

    A job can write anything to its descriptors, and that may raise anything here: it is `_UNREADABLE`.
    """
    try:
        return pipe.recv() if pipe.poll() else None
    except (EOFError, OSError):
        return None
    except Exception as error:
        return _UNREADABLE, type(error).__name__


def _is_ours(message: Any) -> bool:
    """Whether this is one of the messages that `_perform` sends."""
    return isinstance(message, tuple) and len(message) == 2


def _death(process: Any, report: _Codes | None, started: bool) -> Exit:
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
        why = ": it had closed the file descriptor of its messages" if code == UNHEARD else ""
        return Exit(f"died: the process ended with exit status {code} before its work was done{why}")
    name = _signal(-code)
    error = f"died: killed by {name}{CAUSES.get(name, '')}"
    return Exit(error, "killed" if name in AMBIGUOUS else "outside" if name in FROM_OUTSIDE else "")


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


def _serve(requests: Connection, report: Connection) -> None:
    """What a worker process does from start to end: it supervises jobs."""
    multiprocessing.current_process().name = NAME
    _begin_work()
    os.setsid()
    served(_perform, requests, report)


def _work(content: bytes, pipe: Connection) -> None:
    """What a worker process without a supervisor does from start to end: one job."""
    multiprocessing.current_process().name = NAME
    _begin_work()
    threading.Thread(target=_end_with_driver, daemon=True).start()
    _perform(content, pipe)


def _begin_work() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the driver
    os.dup2(2, 1)


def perform_supervised(perform: Callable[[], None], pipe: Connection, report: Connection) -> None:
    """Run `perform`, which writes to `pipe`, so that it and all that it starts end with this process's driver."""
    _begin_work()
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


def _perform(content: bytes, pipe: Connection) -> None:
    """Run one job on its device; say how it ended. An error may have an attribute `fault`, as an exit has.

    What the job forks has no connection: a copy of this process that returns from its job sends nothing.
    """
    end: Any
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=pipe.close)
    try:
        job, device, lane = pickle.loads(content)
        with reserved(device, lane, lambda text: pipe.send((_WAITING, Progress(text, 0, 0)))):
            pipe.send((_STARTED, None))
            job(lambda item: pipe.send((_ITEM, item)))
        end = (_ENDED, None)
    except WorkerError as error:
        end = (_REFUSED, str(error))
    except BaseException as error:  # sys.exit and what else a network may raise are its own end too
        end = (_ENDED, _end(error))
    try:
        pipe.send(end)
    except OSError:
        os._exit(UNHEARD)


def _end(error: BaseException) -> tuple[str, Fault]:
    """How a job ended that raised: the error, and whether the job is to blame."""
    if text := disk_fault(error):
        return text, "outside"
    fault: Any = getattr(error, "fault", "")
    return described(error), fault if fault in ("killed", "outside") else ""


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
