"""Stopwatches that wait for the device, with one interface for every kind of device.

There are three times of a call, and they are never mixed. *Elapsed time* is what a caller sees: from an idle device
until the device has finished. *Launch time* is the time until the call returns, with its work perhaps only queued.
*Device time* is what the device needs for the work, while it never waits for the caller: it is held back until all of
the work is queued.

`timing` decides how often a call is timed, and under which conditions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from bench.hardware.accelerator import Accelerator, accelerator

Call = Callable[[], object]

STARTED_EARLY = "the device started before all work was queued"
"""The trouble of a lap whose device time has waits for the caller in it."""

FIRST_HOLD = 1e-3
"""The first sleep of the device, in seconds; it grows to what the launches need."""

LONGEST_HOLD = 0.25
"""The longest sleep of the device, in seconds."""


@dataclass(frozen=True)
class Lap:
    """The time of one call in seconds, and CPU time of all threads of the process meanwhile.

    `elapsed` is elapsed time, or device time where the stopwatch is one of device time. `trouble` says why the lap
    is no valid one.
    """

    elapsed: float
    cpu: float
    trouble: str = ""


def lap(call: Call, device: str) -> Lap:
    """Elapsed time of `call`, from an idle device until the device has finished its work.

    `elapsed` is the time between two events on the current stream where the device has events, else the caller's clock.
    """
    return lap_on(accelerator(device), call)


def lap_on(target: Accelerator, call: Call) -> Lap:
    """As `lap`, of a device in its general form."""
    if target.event is None:
        return _clock_lap(call, target.synchronize)
    with target.current():
        begin, end = target.event(), target.event()
        target.synchronize()
        cpu = time.process_time()
        begin.record()
        call()
        end.record()
        end.synchronize()
        return Lap(begin.elapsed_time(end) / 1e3, time.process_time() - cpu)


def _clock_lap(call: Call, synchronize: Call) -> Lap:
    synchronize()
    cpu, start = time.process_time(), time.perf_counter()
    call()
    synchronize()
    return Lap(time.perf_counter() - start, time.process_time() - cpu)


class QueueWatch:
    """A stopwatch of device time: lets the device sleep, queues the work, and times it from the end of the sleep.

    The sleep doubles until it covers the launches. A lap that it does not cover is marked; a call that waits for the
    device itself, or that queues more than the queue holds, has no other. Raises ValueError for a device that cannot
    be told to sleep.
    """

    def __init__(self, target: Accelerator) -> None:
        if target.event is None or target.hold is None:
            raise ValueError(f"a device of kind '{target.kind}' cannot be held back until its work is queued")
        self._target, self._event, self._hold = target, target.event, target.hold
        self.sleep = FIRST_HOLD

    def __call__(self, call: Call) -> Lap:
        """Device time of `call`; one further try where the sleep was too short."""
        with self._target.current():
            first = self._lap(call)
            if not first.trouble or self.sleep >= LONGEST_HOLD:
                return first
            self.sleep = min(2 * self.sleep, LONGEST_HOLD)
            return self._lap(call)

    def _lap(self, call: Call) -> Lap:
        begin, end = self._event(), self._event()
        self._target.synchronize()
        cpu = time.process_time()
        self._hold(self.sleep)
        begin.record()
        call()
        end.record()
        covered = not begin.query()
        end.synchronize()
        trouble = "" if covered else STARTED_EARLY
        return Lap(begin.elapsed_time(end) / 1e3, time.process_time() - cpu, trouble)


def launch_seconds(call: Call, target: Accelerator, repeats: int = 10) -> list[float]:
    """Launch times: seconds until each of `repeats` calls returned, without autograd. The device is idle before each
    call and its work is not waited for."""
    seconds = []
    with torch.inference_mode():
        for _ in range(repeats):
            target.synchronize()
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
        target.synchronize()
    return seconds


@contextmanager
def thread_count(count: int) -> Iterator[None]:
    """Sets the number of torch's threads inside the block, and resets it afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
