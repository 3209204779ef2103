"""What timing and memory need of a device, in one form for every kind that PyTorch knows.

A CPU is the reference: it computes in the calling thread, so that its clock is the caller's and nothing is queued.
What a kind of device cannot do or report is None, and whoever needs it says so.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol, cast

import torch

from bench.hardware import nvidia
from bench.hardware.environment import device_facts
from bench.hardware.nvidia import Conditions

SLEEP_CYCLES = 1_000_000
"""The sleep that is timed in order to know how many cycles of the sleeping kernel a second has."""


class Event(Protocol):
    """A mark in a device's queue."""

    def record(self) -> object:
        """Put the mark behind everything that is queued."""

    def query(self) -> bool:
        """Whether the device has passed the mark."""

    def synchronize(self) -> object:
        """Wait until the device has passed the mark."""

    def elapsed_time(self, end: Any, /) -> float:
        """Milliseconds on the device's clock between this mark and a later one."""


@dataclass(frozen=True)
class MemoryPeak:
    """The allocator of a device: bytes in use now, the most since the last `reset`."""

    allocated: Callable[[], int]
    peak: Callable[[], int]
    reset: Callable[[], object]


@dataclass(frozen=True)
class Accelerator:
    """A device.

    `synchronize` waits until its queue is empty. `event` makes a mark in the queue; None: the device is timed by the
    caller's clock. `hold` lets the device sleep for about so many seconds before the work that is queued next; None:
    it cannot be told to. `memory` is the peak of its allocator, None where that is not counted. `trouble` says what
    disturbs the device now, `conditions` its clock and power now. Inside `current()` marks belong to this device.
    `facts` are its name, driver and clock.
    """

    kind: str
    synchronize: Callable[[], object]
    event: Callable[[], Event] | None = None
    hold: Callable[[float], object] | None = None
    memory: MemoryPeak | None = None
    trouble: Callable[[], str] = str
    conditions: Callable[[], Conditions] = Conditions
    current: Callable[[], AbstractContextManager[object]] = nullcontext
    facts: Callable[[], dict[str, str]] = dict

    @property
    def queues(self) -> bool:
        """Whether work is queued, so that the device can be kept from starting before all is queued."""
        return self.event is not None and self.hold is not None


@functools.cache
def accelerator(device: str) -> Accelerator:
    """The device of this name, with what PyTorch and its driver offer.

    Raises ValueError for a kind of device that this build of PyTorch cannot wait for.
    """
    kind = torch.device(device).type
    facts = functools.partial(device_facts, device)
    if kind == "cpu":
        return Accelerator("cpu", synchronize=lambda: None, facts=facts)
    if kind == "cuda":
        return _cuda(device, facts)
    if kind == "mps":
        return _mps(facts)
    module = getattr(torch, kind, None)
    if module is None or not hasattr(module, "synchronize"):
        raise ValueError(f"'{device}' cannot be timed: torch.{kind} has no synchronize()")
    return Accelerator(
        kind,
        synchronize=lambda: module.synchronize(device),
        event=events(module),
        memory=memory_peak(module, device),
        current=lambda: module.device(device) if hasattr(module, "device") else nullcontext(),
        facts=facts,
    )


Facts = Callable[[], dict[str, str]]


def _cuda(device: str, facts: Facts) -> Accelerator:
    """NVIDIA's devices, and AMD's: PyTorch calls both `cuda`; the driver's answers are there for the first alone."""
    return Accelerator(
        "cuda",
        synchronize=lambda: torch.cuda.synchronize(device),
        event=events(torch.cuda),
        hold=lambda seconds: torch.cuda._sleep(math.ceil(seconds * _sleep_rate(device))),  # type: ignore[no-untyped-call]
        memory=memory_peak(torch.cuda, device),
        trouble=nvidia.trouble_reader(device),
        conditions=nvidia.conditions_reader(device),
        current=lambda: torch.cuda.device(device),
        facts=facts,
    )


def _mps(facts: Facts) -> Accelerator:
    """Apple's devices: events, but no sleep and no peak of memory."""
    make = cast("Callable[..., Event]", torch.mps.Event)
    return Accelerator("mps", torch.mps.synchronize, event=lambda: make(enable_timing=True), facts=facts)


def events(module: ModuleType) -> Callable[[], Event] | None:
    """What makes an event with a time in `torch.cuda`, `torch.xpu` and modules like them; None where there is none."""
    make = getattr(module, "Event", None)
    return None if make is None else lambda: cast("Event", make(enable_timing=True))


def memory_peak(module: ModuleType, device: str) -> MemoryPeak | None:
    """The peak of the allocator of `torch.cuda`, `torch.xpu` and modules like them; None where it is not counted."""
    names = ("memory_allocated", "max_memory_allocated", "reset_peak_memory_stats")
    if not all(hasattr(module, name) for name in names):
        return None
    return MemoryPeak(*(functools.partial(getattr(module, name), device) for name in names))


@functools.cache
def _sleep_rate(device: str) -> float:
    """Cycles per second of the sleeping kernel, timed once; the clock may rise later, so that sleeps get shorter."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    for _ in range(2):  # the first loads the kernel
        begin.record()
        torch.cuda._sleep(SLEEP_CYCLES)  # type: ignore[no-untyped-call]
        end.record()
        end.synchronize()
    return SLEEP_CYCLES / max(float(begin.elapsed_time(end)) / 1e3, 1e-6)
