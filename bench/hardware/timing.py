"""Times a call: warms up until steady, then times rounds on new memory layouts until the interval is narrow.

The speed of a call depends on the addresses of its tensors, which a process keeps. The memory layouts are therefore
the independent draws, and the confidence interval that ends the timing is that of the median over layouts. Every
sample is kept; a bad one states its reason, and the numbers are computed from the good ones.

The times are elapsed times, as the caller sees them, whatever the call does meanwhile (compute, sleep, wait for other
threads or processes); `device_timing` gives device times instead, under another name of the clock. CPU time and the
time that the process waited for a core only say which calls were disturbed. On a machine so busy that nearly all were,
the numbers are the elapsed times of the least disturbed calls, and `disturbed` says so.

A device whose clock moved is compared in cycles: the clock is read beside every round, and `at_one_clock` gives the
times that the same cycles take at the median clock.
"""

from __future__ import annotations

import math
import resource
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import psutil
import torch
from torch import Tensor

from bench.hardware.accelerator import accelerator
from bench.hardware.affinity import pinned_for, waiting_reader
from bench.hardware.nvidia import Conditions
from bench.hardware.stopwatch import Call, Lap, QueueWatch, lap, thread_count
from bench.stats.descriptive import median, median_interval, quantile

CLOCK = "elapsed"
"""The clock of an elapsed time, kept with it: times of different clocks are never compared."""

DEVICE_CLOCK = "device"
"""The clock of a device time."""

STEADY = 0.02
"""The fraction by which a device's clock may differ between two readings of a steady one."""

PREEMPTED = 0.05
"""A call was preempted where it waited for a core for more than this fraction of its time."""

ENOUGH = 3, 0.1
"""The good samples are used where they are at least so many, and at least this fraction of all samples."""

LOST = "preempted"
"""The trouble of a sample that waited for a core."""

UNKNOWN = Conditions()
"""The conditions of a device that reports neither clock nor power."""

LOW = 0.1
"""The quantile over layouts that is reported in addition to the median."""


@dataclass(frozen=True)
class Sample:
    """One timed call, in seconds of elapsed and of CPU time.

    `layout` is the number of the memory layout, `switches` counts how often the process lost a core during the call,
    `trouble` says why the sample is bad and is empty for a good one, `waited` are the seconds in which threads of the
    process were ready to run and had no core, None where the kernel does not count them. `conditions` are the device's
    clock and power at the end of the round.
    """

    elapsed: float
    cpu: float
    layout: int = 0
    switches: int = 0
    trouble: str = ""
    waited: float | None = None
    conditions: Conditions = UNKNOWN


@dataclass(frozen=True)
class Timing:
    """The times of many calls, good and bad, and the conditions of the timing.

    `warmup` is the number of calls before the first sample, `steady` whether their times had become steady;
    `stopped` says what ended the timing, `load` are the load averages of the machine (over one minute) before and
    after, `cores` are those that the process was pinned to (empty: not pinned), `clock` names the kind of time.
    """

    samples: tuple[Sample, ...]
    warmup: int
    steady: bool
    stopped: str
    load: tuple[float, float]
    cores: tuple[int, ...] = ()
    clock: str = CLOCK

    @property
    def disturbed(self) -> bool:
        """Whether too few calls kept their core, so that the least disturbed ones are used."""
        return not enough(self.samples) and any(s.trouble == LOST for s in self.samples)

    @cached_property
    def times(self) -> tuple[tuple[int, float], ...]:
        """(layout, seconds) of every sample that is used."""
        return times_of(self.samples)

    @property
    def seconds(self) -> list[float]:
        """The elapsed times that are used."""
        return [seconds for _, seconds in self.times]

    @cached_property
    def layouts(self) -> list[float]:
        """The median time on each layout, in seconds."""
        return layout_medians(self.times)

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % confidence interval of the median over layouts, in seconds; None for fewer than six layouts."""
        return median_interval(self.layouts)

    @cached_property
    def clocks(self) -> list[float]:
        """The device's clock in MHz, of every sample that was taken while it was reported."""
        return [s.conditions.clock for s in self.samples if s.conditions.clock is not None]

    @property
    def clock_moved(self) -> bool:
        """Whether the device's clock differed by more than STEADY over the samples."""
        return moved_apart(self.clocks)

    @cached_property
    def at_one_clock(self) -> list[float]:
        """The elapsed times that are used; where the clock moved, what their cycles take at its median."""
        return [seconds for _, seconds in times_at_one_clock(self.samples)]

    @property
    def low(self) -> float:
        """The 10 % quantile over layouts, in seconds. Raises ValueError where no sample can be used."""
        return quantile(self.layouts, LOW)

    @property
    def troubles(self) -> dict[str, int]:
        """The number of bad samples by reason."""
        return dict(Counter(s.trouble for s in self.samples if s.trouble))


@dataclass(frozen=True)
class Schedule:
    """When to stop timing: the confidence interval of the median over at least `layouts` layouts is no wider than
    `tolerance` of the median, or `samples` calls were timed, or `seconds` have passed and `least` calls were timed.

    A round on one layout ends after `round_seconds` or after `calls` calls.
    """

    tolerance: float = 0.01
    layouts: int = 20
    samples: int = 3000
    seconds: float = 3.0
    least: int = 5
    round_seconds: float = 0.05
    calls: int = 15
    warmup_seconds: float = 1.0


@dataclass(frozen=True)
class Machine:
    """Everything that a timing reads from the machine; tests pass an artificial one.

    `now` is in seconds, `switches` counts how often this process lost a core so far, `waited` are the seconds that its
    threads waited for a core so far (None: the kernel does not count them), `load` is the load average over one minute,
    `trouble` says what disturbed the device since the last call of `trouble`; `conditions` are its clock and power now.
    """

    lap: Callable[[Call], Lap]
    now: Callable[[], float] = time.perf_counter
    switches: Callable[[], int] = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
    load: Callable[[], float] = lambda: psutil.getloadavg()[0]
    trouble: Callable[[], str] = str
    waited: Callable[[], float | None] = lambda: None
    conditions: Callable[[], Conditions] = Conditions


def machine(device: str) -> Machine:
    """The machine that this process runs on, with a stopwatch of elapsed time."""
    target = accelerator(device)
    return Machine(
        lap=lambda call: lap(call, device),
        trouble=target.trouble,
        waited=waiting_reader(),
        conditions=target.conditions,
    )


def queued_machine(device: str) -> Machine:
    """The same with a stopwatch of device time. No call waits for a core: the device starts when all is queued.

    Raises ValueError for a device that cannot be held back.
    """
    target = accelerator(device)
    return Machine(
        QueueWatch(target),
        switches=lambda: 0,
        trouble=target.trouble,
        waited=lambda: 0.0,
        conditions=target.conditions,
    )


def timed_call(
    call: Call,
    moving: Callable[[], Iterable[Tensor]],
    *,
    device: str,
    threads: int,
    seed: int = 0,
    gradients: bool = False,
    prepare: Call = lambda: None,
    plan: Schedule = Schedule(),
) -> Timing:
    """Time `call` on `threads` threads, without autograd unless `gradients`. On a CPU they are pinned to as many cores;
    launches and the threads of a device's driver may use all.

    On a CPU the tensors of `moving` are moved to other addresses before every round; their values do not change.
    `prepare` runs before every call and is not timed. The number of threads, the cores and the mode of autograd are
    reset afterwards.
    """
    generator = torch.Generator().manual_seed(seed)

    def redraw() -> Tensor | None:
        return moved(list(moving()), generator) if torch.device(device).type == "cpu" else None

    with thread_count(threads), pinned_for(device, threads) as cores, torch.inference_mode(not gradients):
        return replace(timed(call, redraw, machine(device), plan, prepare), cores=cores)


def device_timing(call: Call, *, device: str, threads: int, plan: Schedule = Schedule()) -> Timing:
    """Device times of `call`, without autograd; a sample that the device began too early is a bad one.

    Raises ValueError for a device that cannot be held back until all work is queued.
    """
    with thread_count(threads), torch.inference_mode():
        return replace(timed(call, lambda: None, queued_machine(device), plan), clock=DEVICE_CLOCK)


def timed(call: Call, redraw: Call, machine: Machine, plan: Schedule, prepare: Call = lambda: None) -> Timing:
    """Warm up, then time rounds of calls.

    `redraw` runs before each round, and its result stays alive during the round.
    """
    before = machine.load()
    machine.lap(call)  # loads libraries, compiles
    warmup, steady = warmed_up(
        lambda: machine.lap(call).elapsed, plan.warmup_seconds, clock=lambda: machine.conditions().clock
    )
    start, layout, stopped, samples = machine.now(), 0, "", tuple[Sample, ...]()
    machine.trouble()
    while not stopped:
        padding = redraw()
        samples += _round(call, prepare, machine, plan, layout)
        del padding
        layout += 1
        stopped = why_stop(judged(samples), machine.now() - start, plan)
    return Timing(judged(samples), 1 + warmup, steady, stopped, (before, machine.load()))


def warmed_up(
    timed_call: Callable[[], float],
    seconds: float,
    window: int = 3,
    clock: Callable[[], float | None] = lambda: None,
) -> tuple[int, bool]:
    """Call until the median of the last `window` calls is at least 0.98 of the median of the `window` calls before.

    The device's clock, read after each window, must not have moved by more than STEADY meanwhile, where it is reported.
    At least two windows of calls, then until `seconds` have passed at most. Returns the number of calls, and whether
    the last two windows were steady.
    """
    times: list[float] = []
    clocks: list[float | None] = []
    while True:
        times += [timed_call() for _ in range(window)]
        clocks.append(clock())
        if len(times) < 2 * window:
            continue
        earlier, later = (statistics.median(t) for t in (times[-2 * window : -window], times[-window:]))
        steady = later >= 0.98 * earlier and not moved_apart([mhz for mhz in clocks[-2:] if mhz is not None])
        if steady or sum(times) >= seconds:
            return len(times), steady


def moved_apart(clocks: Sequence[float]) -> bool:
    """Whether readings of a clock differ by more than STEADY of the highest."""
    return bool(clocks) and max(clocks) - min(clocks) > STEADY * max(clocks)


def _round(call: Call, prepare: Call, machine: Machine, plan: Schedule, layout: int) -> tuple[Sample, ...]:
    """One call on the new addresses that is not a sample, then samples until the round ends."""
    machine.lap(call)
    samples: list[Sample] = []
    while not samples or (len(samples) < plan.calls and sum(s.elapsed for s in samples) < plan.round_seconds):
        prepare()
        samples.append(sample_of(call, machine, layout))
    trouble, conditions = machine.trouble(), machine.conditions()
    return tuple(replace(s, trouble=trouble or s.trouble, conditions=conditions) for s in samples)


def sample_of(call: Call, machine: Machine, layout: int = 0) -> Sample:
    """One timed call: its times, its trouble, and what it waited for a core."""
    waited, switches = machine.waited(), machine.switches()
    time_of_call = machine.lap(call)
    after = machine.waited()
    lost = None if waited is None or after is None else after - waited
    switched = machine.switches() - switches
    elapsed = max(time_of_call.elapsed, 1e-9)
    return Sample(elapsed, time_of_call.cpu, layout, switched, time_of_call.trouble, waited=lost)


def judged(samples: Sequence[Sample]) -> tuple[Sample, ...]:
    """The samples; those whose call waited for a core, since another process had it, are marked `preempted`."""
    usual = _usual(samples)
    return tuple(replace(s, trouble=LOST) if not s.trouble and lost(s, usual) > PREEMPTED else s for s in samples)


def _usual(samples: Sequence[Sample]) -> float:
    """CPU time per elapsed time of a call that is not disturbed: the 90 % quantile.

    It is 1 for one thread that computes, less for one that sleeps or waits for a child process.
    """
    return quantile([s.cpu / s.elapsed for s in samples], 0.9)


def lost(sample: Sample, usual: float) -> float:
    """The fraction of a call's time in which it waited for a core; of several threads their sum.

    The kernel counts it. Where it does not, a call that lost its core is taken to have waited for as long as it lacked
    its usual CPU time; that sees nothing on a machine on which every call is disturbed alike.
    """
    if sample.waited is not None:
        return sample.waited / sample.elapsed
    return max(0.0, 1 - sample.cpu / (usual * sample.elapsed)) if sample.switches and usual else 0.0


def enough(samples: Sequence[Sample]) -> bool:
    """Whether so many samples are good that the others need not be used."""
    return sum(not s.trouble for s in samples) >= _least(samples)


def _least(samples: Sequence[Sample]) -> int:
    least, fraction = ENOUGH
    return max(min(least, len(samples)), math.ceil(fraction * len(samples)))


def times_of(samples: Sequence[Sample]) -> tuple[tuple[int, float], ...]:
    """(layout, elapsed seconds) of the good samples; where these are too few, of those that waited least for a core.

    Samples that were taken while the device itself was in trouble are never used.
    """
    return tuple((s.layout, s.elapsed) for s in used(samples))


def times_at_one_clock(samples: Sequence[Sample]) -> tuple[tuple[int, float], ...]:
    """As `times_of`, of a device whose clock did not move. Where it moved, what the cycles of each sample take at the
    median clock; a sample whose clock is not known keeps its time."""
    chosen = used(samples)
    clocks = [s.conditions.clock for s in chosen if s.conditions.clock]
    usual = median(clocks) if moved_apart(clocks) else None
    return tuple((s.layout, s.elapsed * (s.conditions.clock or usual) / usual if usual else s.elapsed) for s in chosen)


def used(samples: Sequence[Sample]) -> list[Sample]:
    """The samples whose times are used; see `times_of`."""
    if enough(samples):
        return [s for s in samples if not s.trouble]
    usual = _usual(samples)
    usable = [s for s in samples if s.trouble in ("", LOST)]
    return sorted(usable, key=lambda s: lost(s, usual))[: _least(samples)]


def why_stop(samples: Sequence[Sample], seconds: float, plan: Schedule) -> str:
    """The reason to stop the timing now; empty where there is none."""
    medians = layout_medians(times_at_one_clock(samples))
    interval = median_interval(medians) if len(medians) >= plan.layouts else None
    if interval and interval[1] - interval[0] <= plan.tolerance * median(medians):
        return f"interval within {plan.tolerance:.1%}"
    if len(samples) >= plan.samples:
        return f"{plan.samples} samples"
    return f"{plan.seconds:g} s" if seconds >= plan.seconds and len(samples) >= plan.least else ""


def layout_medians(times: Iterable[tuple[int, float]]) -> list[float]:
    """The median time on each layout, in seconds."""
    by_layout: dict[int, list[float]] = {}
    for layout, seconds in times:
        by_layout.setdefault(layout, []).append(seconds)
    return [median(each) for each in by_layout.values()]


def moved(tensors: list[Tensor], generator: torch.Generator) -> Tensor:
    """Moves tensors to other addresses, behind padding of random size. They stay there while the result is alive."""
    size = int(torch.randint(1, 1 << 20, (1,), generator=generator))
    padding = torch.empty(size, dtype=torch.uint8)
    with torch.inference_mode(False):  # weights that inference mode creates cannot be trained
        for tensor in tensors:
            tensor.data = tensor.data.clone()
    return padding


PERCENTILES = (5, 25, 50, 75, 95, 99)


def explained(timing: Timing) -> dict[str, Any]:
    """The detail of a timing, in ms: the clock, spread, interval, bad samples, conditions."""
    ms = [1e3 * seconds for seconds in timing.seconds]
    interval = timing.interval
    return {
        "clock": timing.clock,
        "disturbed": timing.disturbed,
        "percentiles_ms": {f"p{p}": quantile(ms, p / 100) for p in PERCENTILES} if ms else {},
        "interval_ms": [1e3 * end for end in interval] if interval else None,
        "low_ms": 1e3 * timing.low if ms else None,
        "cpu_ms": 1e3 * median([s.cpu for s in timing.samples]),
        "stopped": timing.stopped,
        "bad": timing.troubles,
        "bad_samples": [[s.trouble, 1e3 * s.elapsed] for s in timing.samples if s.trouble],
        "warmup": timing.warmup,
        "steady": timing.steady,
        "layouts": len(timing.layouts),
        "load": list(timing.load),
        "cores": list(timing.cores),
        **conditions_of(timing),
    }


def conditions_of(timing: Timing) -> dict[str, Any]:
    """Clock in MHz and power in watts of the device over the samples, and whether its clock moved; then the median and
    the interval in millions of cycles too. Empty where the device does not report its clock."""
    if not timing.clocks:
        return {}
    watts = [s.conditions.watts for s in timing.samples if s.conditions.watts is not None]
    mhz = median(timing.clocks)
    return {
        "clock_mhz": {"low": min(timing.clocks), "median": mhz, "high": max(timing.clocks)},
        "watts": {"median": median(watts), "high": max(watts)} if watts else None,
        "clock_moved": timing.clock_moved,
        **(_in_cycles(timing, mhz) if timing.clock_moved and timing.seconds else {}),
    }


def _in_cycles(timing: Timing, mhz: float) -> dict[str, Any]:
    interval = median_interval(layout_medians(times_at_one_clock(timing.samples)))
    return {
        "megacycles": mhz * median(timing.at_one_clock),
        "megacycles_interval": [mhz * end for end in interval] if interval else None,
    }
