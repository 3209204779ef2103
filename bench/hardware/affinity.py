"""Pins the threads of this process to cores. Linux only; nothing is pinned elsewhere."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

WATCHED_SECONDS = 0.05
"""How long the load of the cores is watched before the least busy are chosen."""


@contextlib.contextmanager
def pinned(count: int) -> Iterator[tuple[int, ...]]:
    """Pins all threads of this process to the `count` cores that are least busy now; releases them afterwards.

    Yields the cores. Yields none, and pins nothing, where the system cannot pin or the process may use fewer cores.
    """
    if sys.platform != "linux" or len(os.sched_getaffinity(0)) < count:
        yield ()
        return
    allowed = os.sched_getaffinity(0)
    cores = _least_busy(allowed, count)
    _allow(set(cores))
    try:
        yield cores
    finally:
        _allow(allowed)


def _allow(cores: set[int]) -> None:
    """Allows these cores to every thread of this process; threads that start later inherit them."""
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(ProcessLookupError):  # the thread has ended since it was listed
            os.sched_setaffinity(int(thread), cores)


def _least_busy(allowed: set[int], count: int) -> tuple[int, ...]:
    if len(allowed) == count:
        return tuple(sorted(allowed))
    before = busy_ticks(Path("/proc/stat").read_text())
    time.sleep(WATCHED_SECONDS)
    return chosen(before, busy_ticks(Path("/proc/stat").read_text()), allowed, count)


def chosen(before: Mapping[int, int], after: Mapping[int, int], allowed: set[int], count: int) -> tuple[int, ...]:
    """The `count` cores whose busy ticks rose least. A tie goes to the last core: the first serve most interrupts."""
    rises = sorted(allowed, key=lambda core: (after.get(core, 0) - before.get(core, 0), -core))
    return tuple(sorted(rises[:count]))


def busy_ticks(stat: str) -> dict[int, int]:
    """The ticks since boot in which each core was not idle, from the text of /proc/stat."""
    rows = [line.split() for line in stat.splitlines() if line.startswith("cpu") and line[3].isdigit()]
    # user nice system idle iowait irq softirq steal; guest times are part of user
    return {int(name[3:]): sum(map(int, times[:3])) + sum(map(int, times[5:8])) for name, *times in rows}
