"""A stopwatch that waits for the device, with one interface for CPU and CUDA.

`timing` decides how often a call is timed, and under which conditions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

Call = Callable[[], object]


@dataclass(frozen=True)
class Lap:
    """The time of one call in seconds: elapsed on the device, and CPU time of all threads of the process."""

    elapsed: float
    cpu: float


def lap(call: Call, device: str) -> Lap:
    """Time `call`, from an idle device until the device has finished its work.

    `elapsed` is the time between two events on the current stream on CUDA, and wall-clock time elsewhere.
    """
    return _cuda_lap(call, torch.device(device)) if torch.device(device).type == "cuda" else _cpu_lap(call)


def _cpu_lap(call: Call) -> Lap:
    cpu, start = time.process_time(), time.perf_counter()
    call()
    return Lap(time.perf_counter() - start, time.process_time() - cpu)


def _cuda_lap(call: Call, device: torch.device) -> Lap:
    with torch.cuda.device(device):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()
        cpu = time.process_time()
        begin.record()
        call()
        end.record()
        end.synchronize()
        return Lap(begin.elapsed_time(end) / 1e3, time.process_time() - cpu)


@contextmanager
def thread_count(count: int) -> Iterator[None]:
    """Sets the number of torch's threads inside the block, and resets it afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
