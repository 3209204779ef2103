"""Processes of this machine: which one this is, and whether another one still runs."""

from __future__ import annotations

import math

import psutil

TOLERANCE = 2.0
"""Seconds by which two readings of one process's start may differ: the system's clock may be set meanwhile.

A number is not given to another process so soon.
"""


def this_process() -> str:
    """This process as `NUMBER@START`: its number, and when it started in seconds since 1970."""
    return identity(psutil.Process().pid)


def identity(number: int) -> str:
    """The running process of this number as `NUMBER@START`. Raises psutil.NoSuchProcess."""
    return f"{number}@{psutil.Process(number).create_time():.2f}"


def is_running(process: str) -> bool:
    """Whether the process `NUMBER@START` still runs. False for a zombie, and for text of another form."""
    number, _, start = process.partition("@")
    try:
        candidate = psutil.Process(int(number))
        same = math.isclose(candidate.create_time(), float(start), rel_tol=0, abs_tol=TOLERANCE)
        return same and candidate.status() != psutil.STATUS_ZOMBIE
    except (ValueError, psutil.NoSuchProcess):
        return False
