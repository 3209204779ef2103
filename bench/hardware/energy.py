"""The energy that a device has drawn: the counters of NVIDIA's driver and of the CPU's packages (RAPL)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from bench.hardware import nvidia, nvml

POWERCAP = Path("/sys/class/powercap")
"""Where Linux shows the energy counters of the CPU's packages."""


class NoCounterError(RuntimeError):
    """No counter of energy can be read here; the text says why."""


@dataclass(frozen=True)
class Meter:
    """`joules` were drawn so far, by what `source` names. The counter is renewed every `interval` seconds or faster."""

    joules: Callable[[], float]
    source: str
    interval: float = 0.1


def meter(device: str) -> Meter:
    """The counter of a device. Raises NoCounterError where none can be read."""
    kind = torch.device(device).type
    if kind == "cpu":
        return rapl(POWERCAP)
    if kind != "cuda" or not nvidia.watched():
        raise NoCounterError(f"no counter of energy is known for '{device}' here")
    uuid = str(torch.cuda.get_device_properties(device).uuid)
    try:
        nvml.energy(uuid)
    except nvml.DriverError as error:
        raise NoCounterError(str(error)) from None
    return Meter(lambda: nvml.energy(uuid), "NVML's total energy of the device")


def rapl(folder: Path) -> Meter:
    """The sum over the packages of the CPU, from files such as `intel-rapl:0/energy_uj`.

    Raises NoCounterError where there is none, or where only root may read it.
    """
    packages = [path for path in sorted(folder.glob("intel-rapl:*")) if path.name.count(":") == 1]
    if not packages:
        raise NoCounterError(f"no counter of energy of the CPU in {folder}")
    try:
        counters = {path: Counter(int((path / "max_energy_range_uj").read_text())) for path in packages}
        total(counters)
    except (OSError, ValueError) as error:
        raise NoCounterError(f"the counters of energy in {folder} cannot be read: {error}") from None
    return Meter(lambda: total(counters), f"RAPL of {len(packages)} packages of the CPU, memory not included")


class Counter:
    """A counter in microjoules that starts again at 0 after `most`."""

    def __init__(self, most: int) -> None:
        self.most, self.turns, self.last = most, 0, 0

    def joules(self, reading: int) -> float:
        """Joules since the first time that the counter was 0."""
        self.turns += reading < self.last
        self.last = reading
        return (self.turns * self.most + reading) / 1e6


def total(counters: Mapping[Path, Counter]) -> float:
    """Joules of all packages so far."""
    return sum(counter.joules(int((path / "energy_uj").read_text())) for path, counter in counters.items())


@dataclass(frozen=True)
class Drawn:
    """Joules drawn during `seconds`, in which `calls` calls were made."""

    joules: float
    seconds: float
    calls: int

    @property
    def watts(self) -> float:
        """Mean power."""
        return self.joules / self.seconds


def drawn(
    meter: Meter,
    call: Callable[[], object],
    wait: Callable[[], object],
    seconds: float,
    now: Callable[[], float] = time.perf_counter,
) -> Drawn:
    """The energy of calls, one after the other, during at least `seconds`. `wait` waits until the device is idle."""
    wait()
    start, before, calls = now(), meter.joules(), 0
    while now() - start < seconds:
        call()
        calls += 1
    wait()
    return Drawn(meter.joules() - before, now() - start, calls)


def idle(
    meter: Meter,
    seconds: float,
    now: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], object] = time.sleep,
) -> Drawn:
    """The energy of `seconds` in which this process does nothing."""
    start, before = now(), meter.joules()
    sleep(seconds)
    return Drawn(meter.joules() - before, now() - start, 0)


def net_joules(work: Sequence[Drawn], rest: Drawn) -> list[float]:
    """Joules of a call in each part of the work, without what the device draws when idle; never below 0."""
    return [max(0.0, each.joules - rest.watts * each.seconds) / each.calls for each in work]
