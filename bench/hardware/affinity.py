"""Pins the threads of this process to cores, and reads how long they waited for one.

Linux only; elsewhere nothing is pinned, and the waiting is not known.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from bench.hardware.environment import device_kind

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
    allow(set(cores))
    try:
        yield cores
    finally:
        allow(allowed)


def pinned_for(device: str, count: int) -> contextlib.AbstractContextManager[tuple[int, ...]]:
    """`pinned(count)` for work on a CPU. For another device nothing is pinned: its launches and the threads of its
    driver would have to take turns on the cores."""
    return pinned(count) if device_kind(device) == "cpu" else contextlib.nullcontext(())


def waiting_reader() -> Callable[[], float | None]:
    """A function that says for how many seconds threads of this process were ready to run and had no core; their sum.

    None where the kernel does not count them. Threads that have ended are not part of it. The kernel is asked again
    only after a thread lost its core or gave it up, since reading takes as long as a small network.
    """
    counted, seconds = -1, None

    def waited() -> float | None:
        nonlocal counted, seconds
        switches = _switches()
        if switches != counted:
            counted, seconds = switches, _waited_seconds()
        return seconds

    return waited


def _switches() -> int:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_nvcsw + usage.ru_nivcsw


def _waited_seconds() -> float | None:
    nanoseconds = [_waited(Path("/proc/self/task") / thread) for thread in _threads()]
    counts = [each for each in nanoseconds if each is not None]
    return sum(counts) / 1e9 if counts else None


def _threads() -> list[str]:
    return os.listdir("/proc/self/task") if sys.platform == "linux" else []


def _waited(thread: Path) -> int | None:
    """The nanoseconds that a thread waited for a core: the second number of its schedstat."""
    try:
        return int((thread / "schedstat").read_text().split()[1])
    except (OSError, IndexError, ValueError):  # the thread has ended, or the kernel keeps no such statistics
        return None


def allow(cores: set[int]) -> None:
    """Allows these cores to every thread of this process; threads that start later inherit them."""
    for thread in _threads():
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
