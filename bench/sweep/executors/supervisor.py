"""The process between the fork server and a job's process: it outlives the job, and ends all that the job started.

The supervisor waits until the job ends, the driver ends, or the driver asks it to end the job (SIGTERM). It then ends
every process below it. On Linux these are all that the job started, also daemons that left its session, since orphans
are given to the supervisor (`PR_SET_CHILD_SUBREAPER`). Elsewhere an orphan that left the session is not found.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle

import psutil

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def supervised(perform: Callable[[], None], pipe: Connection, report: Connection) -> None:
    """Run `perform`, which writes to `pipe`, in a child process, and end all that it started.

    Its exit code is sent to `report` once nothing of it is left; nothing is sent where it was ended on request.
    """
    alarm = _prepared()
    _send(report, _performed(perform, pipe, [report], alarm))


def served(perform: Callable[[bytes, Connection], None], requests: Connection, report: Connection) -> None:
    """As `supervised` for each of the `requests` in turn: bytes, then the descriptor of the pipe that is written to.

    Every job has a process of its own, a fork of this one, which never knows what the bytes mean. Returns when the
    driver ends or asks for an end.
    """
    alarm = _prepared()
    while (request := _next(requests, alarm)) is not None:
        code = _performed(partial(perform, *request), request[1], [requests, report], alarm)
        _send(report, code)
        if code is None:
            return


def _prepared() -> int:
    """Make this process one that orphans are given to; the end of a pipe that signals can be read from."""
    _process_control(PR_SET_CHILD_SUBREAPER, 1)
    return _alarm()


def _next(requests: Connection, alarm: int) -> tuple[bytes, Connection] | None:
    """The next request; None where the driver ended, or asked for an end."""
    while True:
        ready = multiprocessing.connection.wait([requests, *_ends(alarm)])
        if alarm in ready and signal.SIGTERM in os.read(alarm, 4096):
            return None
        if requests in ready:
            with contextlib.suppress(EOFError, OSError):
                return requests.recv_bytes(), Connection(recv_handle(requests), readable=False)
            return None
        if alarm not in ready:
            return None


def _ends(alarm: int) -> list[int]:
    """What is ready when the driver ends, or a signal came."""
    driver = multiprocessing.parent_process()
    return [driver.sentinel, alarm] if driver is not None else [alarm]


def _send(report: Connection, code: int | None) -> None:
    if code is not None:
        with contextlib.suppress(BrokenPipeError):  # the driver has ended meanwhile
            report.send(code)


def _performed(perform: Callable[[], None], pipe: Connection, ours: Sequence[Connection], alarm: int) -> int | None:
    """The exit code of a child that runs `perform`, when all that it started has ended; None as for `_awaited`."""
    alive, alive_here = os.pipe()
    supervisor = os.getpid()
    child = os.fork()
    if child == 0:
        _child(perform, ours, supervisor, alive, alive_here)
    os.close(alive)
    pipe.close()  # so that the driver sees the end of the pipe when the job's process ends
    code = _awaited(child, alarm)
    end_descendants(child)
    os.close(alive_here)
    return code


def _child(
    perform: Callable[[], None], ours: Sequence[Connection], supervisor: int, alive: int, alive_here: int
) -> None:
    """The job's process from start to end; never returns. `ours` are the supervisor's connections to the driver."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        os.close(alive_here)
        for each in ours:
            each.close()
        _die_with_supervisor(supervisor, alive)
        perform()
        code = 0
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(code)


def _die_with_supervisor(supervisor: int, alive: int) -> None:
    """End this process and its group when the supervisor ends, which may be killed too."""
    _process_control(PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_watch, args=(alive,), daemon=True).start()
    if os.getppid() != supervisor:
        os._exit(1)


def _watch(alive: int) -> None:
    with contextlib.suppress(OSError):  # a job may have closed the descriptor
        os.read(alive, 1)
        os.killpg(0, signal.SIGKILL)


def _process_control(option: int, value: int) -> None:
    """Linux's prctl; nothing elsewhere."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _alarm() -> int:
    """The end of a pipe from which the number of each signal can be read that says: a child ended, or end the job."""
    receiver, sender = os.pipe()
    os.set_blocking(sender, False)
    signal.set_wakeup_fd(sender)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    return receiver


def _awaited(child: int, alarm: int) -> int | None:
    """The exit code of the child; None where the driver ended before, or asked for an end."""
    while True:
        ready = multiprocessing.connection.wait(_ends(alarm))
        if alarm not in ready or signal.SIGTERM in os.read(alarm, 4096):
            return None
        code = _exit_code(child)
        if code is not None:
            return code


def _exit_code(child: int) -> int | None:
    """The exit code of the child if it has ended. All children that have ended are removed from the system's table."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == child:
                return os.waitstatus_to_exitcode(ended[1])
    return None


def end_descendants(child: int) -> None:
    """Kill the group of `child` and every process below this one, until there is none."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):  # raised where no process is left
        os.waitpid(-1, os.WNOHANG)
        while True:
            for each in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    each.kill()
            os.waitpid(-1, 0)
