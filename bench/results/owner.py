"""Which driver process works on a measurement: a name that outlives neither the process nor a reuse of its number."""

from __future__ import annotations

import os

import psutil


def this_run() -> str:
    """A name for this driver process: its number and start time, which no other process shares."""
    return f"{os.getpid()}@{_started(os.getpid())}"


def running(owner: str) -> bool:
    """Whether the driver of that name still runs on this machine."""
    number, _, started = owner.partition("@")
    return _started(int(number)) == started


def _started(pid: int) -> str:
    """When the process was started (seconds since 1970); empty where there is none, or only a zombie."""
    try:
        process = psutil.Process(pid)
        return "" if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except psutil.NoSuchProcess:
        return ""
