"""Processes of this machine: which one this is, and whether another one still runs.

A number is given to other processes later, so a process is named by its number and its start. On Linux the start is
counted from the boot, since the clock that people read may be set while a run goes on.
"""

from __future__ import annotations

import functools
import math
from pathlib import Path

import psutil

TOLERANCE = 2.0
"""Seconds by which two readings of a start by the clock may differ: it may be set a little meanwhile.

A number is not given to another process so soon.
"""

BOOT = Path("/proc/sys/kernel/random/boot_id")
START = 19
"""The place of the start in `/proc/NUMBER/stat`, counted from the state."""


def this_process() -> str:
    """This process as `NUMBER@START`."""
    return identity(psutil.Process().pid)


def identity(number: int) -> str:
    """The running process of this number as `NUMBER@START`. Raises psutil.NoSuchProcess.

    `START` is `BOOT+TICKS`, which is the name of the boot and the ticks since then, or seconds since 1970.
    """
    process = psutil.Process(number)
    return f"{number}@{_since_boot(number) or format(process.create_time(), '.2f')}"


def is_running(process: str) -> bool:
    """Whether the process `NUMBER@START` still runs. False for a zombie, and for text of another form."""
    number, _, start = process.partition("@")
    try:
        candidate = psutil.Process(int(number))
        return _started_at(candidate, start) and candidate.status() != psutil.STATUS_ZOMBIE
    except (ValueError, psutil.NoSuchProcess):
        return False


def _started_at(process: psutil.Process, start: str) -> bool:
    """Whether this is its start. Raises ValueError for text of another form; earlier versions named seconds only."""
    if "+" in start:
        return start == _since_boot(process.pid)
    return math.isclose(process.create_time(), float(start), rel_tol=0, abs_tol=TOLERANCE)


def _since_boot(number: int) -> str:
    """The start of a process as `BOOT+TICKS`; empty where the system has no such count."""
    try:
        fields = Path(f"/proc/{number}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        return f"{_boot()}+{fields[START]}"
    except (OSError, IndexError):
        return ""


@functools.cache
def _boot() -> str:
    return BOOT.read_text("ascii").strip().replace("-", "")[:16]
