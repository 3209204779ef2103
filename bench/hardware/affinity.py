"""Which cores the threads of this process may run on. Linux only; elsewhere nothing is pinned."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

LOOK = 0.05
"""Seconds for which the cores are watched before some are chosen."""


@contextlib.contextmanager
def pinned(count: int) -> Iterator[tuple[int, ...]]:
    """All threads of this process on `count` cores: those that were least busy just now, and back afterwards.

    Yields the cores; none where the system cannot pin, or the process may not use as many.
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
    """For every thread there is: those made later inherit it."""
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(ProcessLookupError):  # the thread has ended meanwhile
            os.sched_setaffinity(int(thread), cores)


def _least_busy(allowed: set[int], count: int) -> tuple[int, ...]:
    if len(allowed) == count:
        return tuple(sorted(allowed))
    before = busy_ticks(Path("/proc/stat").read_text())
    time.sleep(LOOK)
    return chosen(before, busy_ticks(Path("/proc/stat").read_text()), allowed, count)


def chosen(before: Mapping[int, int], after: Mapping[int, int], allowed: set[int], count: int) -> tuple[int, ...]:
    """The cores whose busy ticks rose least; of equals the last, since the first serve most interrupts."""
    rises = sorted(allowed, key=lambda core: (after.get(core, 0) - before.get(core, 0), -core))
    return tuple(sorted(rises[:count]))


def busy_ticks(stat: str) -> dict[int, int]:
    """Ticks that each core was not idle since boot, from the text of /proc/stat."""
    rows = [line.split() for line in stat.splitlines() if line.startswith("cpu") and line[3].isdigit()]
    # user nice system idle iowait irq softirq steal; guest times are part of user
    return {int(name[3:]): sum(map(int, times[:3])) + sum(map(int, times[5:8])) for name, *times in rows}
