"""The energy that a device has drawn: the counters of NVIDIA's driver and of the CPU's packages (RAPL)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bench.hardware import nvidia, nvml
from bench.hardware.accelerator import accelerator

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


class Account:
    """What a device draws from now on, whatever runs on it; idle power is read first.

    A counter may start again at 0: `poll` notices that, if it is called more often than this happens. `trouble` says
    what disturbs the device at the moment.
    """

    def __init__(
        self,
        meter: Meter,
        trouble: Callable[[], str] = str,
        idle_seconds: float = 1.0,
        now: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.meter, self.trouble, self.now = meter, trouble, now
        self.rest = idle(meter, idle_seconds, now, sleep)
        self.troubles = {trouble(): None}
        self.start, self.before = now(), meter.joules()

    def poll(self) -> None:
        """Read the counter and what disturbs the device."""
        self.meter.joules()
        self.troubles |= {self.trouble(): None}

    def facts(self) -> dict[str, Any]:
        """Joules so far without what the device draws when idle, never below 0, and what they are made of."""
        self.poll()
        work = Drawn(self.meter.joules() - self.before, self.now() - self.start, 1)
        facts: dict[str, Any] = {"joules": net_joules([work], self.rest)[0], "gross_joules": work.joules}
        facts |= {"idle_watts": self.rest.watts, "seconds": work.seconds, "source": self.meter.source}
        disturbed = "; ".join(filter(None, self.troubles))
        return {**facts, "disturbed": disturbed} if disturbed else facts


@dataclass(frozen=True)
class NoAccount:
    """In place of an account where no counter can be read."""

    reason: str

    def poll(self) -> None:
        """There is nothing to read."""

    def facts(self) -> dict[str, Any]:
        """Why the energy is not known."""
        return {"not_known": self.reason}


def account(device: str) -> Account | NoAccount:
    """An account of a device from now on. It takes a second where there is a counter."""
    try:
        return Account(meter(device), accelerator(device).trouble)
    except NoCounterError as error:
        return NoAccount(str(error))
