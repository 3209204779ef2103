"""Elapsed, launch and device time of a made-up device; what its clock, its power and other processes do to them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from bench.hardware import accelerator as accelerator_module
from bench.hardware import stopwatch, timing
from bench.hardware.accelerator import Accelerator, accelerator
from bench.hardware.affinity import pinned_for
from bench.hardware.environment import device_facts
from bench.hardware.nvidia import Conditions, bound_by, trouble
from bench.hardware.stopwatch import FIRST_HOLD, LONGEST_HOLD, STARTED_EARLY, Lap, QueueWatch, lap_on, launch_seconds
from bench.hardware.timing import Machine, Sample, Schedule, Timing, explained, timed, warmed_up
from bench.metrics import device_latency as module
from bench.metrics import latency as latency_module
from bench.registry.errors import DoesNotApplyError
from tests.bench.queued import QueuedDevice

QUICK = Schedule(samples=8, seconds=10, least=1, round_seconds=0.0, warmup_seconds=0.0)


def queued_timing(device: QueuedDevice, call: Callable[[], object], **how: object) -> Timing:
    machine = Machine(QueueWatch(device.accelerator()), now=lambda: device.host, **how)  # type: ignore[arg-type]
    return timed(call, lambda: None, machine, QUICK)


def test_a_device_that_waits_for_launches_has_three_different_times(monkeypatch: pytest.MonkeyPatch) -> None:
    device = QueuedDevice()
    call = device.call(kernels=10, launching=1e-4, computing=3e-5)
    elapsed = lap_on(device.accelerator(), call).elapsed
    monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: device.host)
    launching = launch_seconds(call, device.accelerator(), repeats=2)
    own = QueueWatch(device.accelerator())(call).elapsed
    assert elapsed == pytest.approx(1.03e-3)  # ten launches, and the kernel of the last
    assert launching == pytest.approx([1e-3, 1e-3])
    assert own == pytest.approx(3e-4)
    assert bound_by(launching[0], own, elapsed) == "launches"


def test_of_a_device_that_is_busy_elapsed_and_device_time_differ_by_one_launch() -> None:
    device = QueuedDevice()
    call = device.call(kernels=10, launching=1e-5, computing=1e-3)
    assert lap_on(device.accelerator(), call).elapsed == pytest.approx(1.001e-2)
    assert QueueWatch(device.accelerator())(call).elapsed == pytest.approx(1e-2)
    assert bound_by(1e-4, 1e-2, 1.001e-2) == "device"


def test_the_sleep_grows_until_it_covers_the_launches() -> None:
    device = QueuedDevice()
    reading = queued_timing(device, device.call(kernels=50, launching=1e-4, computing=2e-5))
    assert reading.seconds == pytest.approx([1e-3] * 8)
    assert reading.troubles == {}
    assert max(device.slept) == 8 * FIRST_HOLD  # the launches take 5 ms


def test_a_call_that_waits_for_the_device_has_no_device_time() -> None:
    device = QueuedDevice()

    def waiting() -> None:
        device.launch(1e-5, 1e-4)
        device.synchronize()
        device.launch(1e-5, 1e-4)

    reading = queued_timing(device, waiting)
    assert reading.seconds == []
    assert reading.troubles == {STARTED_EARLY: len(reading.samples)}
    assert max(device.slept) == LONGEST_HOLD
    assert module.advice(reading) == "; state graph: true"


def test_a_device_that_cannot_be_held_back_is_refused() -> None:
    with pytest.raises(ValueError, match="kind 'made-up' cannot be held back"):
        QueueWatch(QueuedDevice().accelerator(hold=None))


def test_without_events_the_caller_s_clock_waits_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    device = QueuedDevice()
    monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: device.host)
    taken = lap_on(device.accelerator(event=None), device.call(kernels=2, launching=1e-4, computing=1e-3))
    assert taken.elapsed == pytest.approx(2.1e-3)


def readings(clocks: Iterable[float]) -> Callable[[], Conditions]:
    values = iter(clocks)
    return lambda: Conditions(next(values), 300.0)


def test_warm_up_goes_on_until_the_clock_is_steady() -> None:
    ramp = itertools.chain([345.0, 900.0, 1500.0, 1980.0], itertools.repeat(1980.0))
    assert warmed_up(lambda: 1.0, seconds=100, clock=lambda: next(ramp)) == (15, True)
    assert warmed_up(lambda: 1.0, seconds=100) == (6, True)  # a device that reports no clock
    rising = itertools.count(100.0, 100.0)
    assert warmed_up(lambda: 1.0, seconds=9, clock=lambda: next(rising)) == (9, False)


def at_clocks(*mhz: float | None) -> Timing:
    """Samples of 2 million cycles each, on layouts of their own."""
    conditions = [Conditions(each, None if each is None else 300.0) for each in mhz]
    samples = [Sample(2.0 / c.clock if c.clock else 0.002, 0.0, i, conditions=c) for i, c in enumerate(conditions)]
    return Timing(tuple(samples), 6, True, "8 samples", (0.0, 0.0))


def test_where_the_clock_moved_times_are_compared_in_cycles() -> None:
    moved = at_clocks(1000.0, 1000.0, 1000.0, 1000.0, 1980.0, 1980.0, 800.0)
    assert moved.clock_moved
    assert moved.at_one_clock == pytest.approx([0.002] * 7)
    assert moved.seconds == pytest.approx([0.002] * 4 + [2 / 1980] * 2 + [0.0025])  # as they were
    detail = explained(moved)
    assert detail["clock_mhz"] == {"low": 800.0, "median": 1000.0, "high": 1980.0}
    assert detail["watts"] == {"median": 300.0, "high": 300.0}
    assert (detail["megacycles"], detail["megacycles_interval"]) == (pytest.approx(2.0), pytest.approx([2.0, 2.0]))


def test_a_clock_within_two_percent_is_steady_and_an_unknown_one_is_not_guessed() -> None:
    steady = at_clocks(1980.0, 1965.0, 1980.0)
    assert not steady.clock_moved
    assert steady.at_one_clock == steady.seconds
    assert "megacycles" not in explained(steady)
    assert "clock_mhz" not in explained(at_clocks(None, None))


def test_every_round_keeps_the_clock_at_its_end() -> None:
    # two readings for the warm-up, then one for each round
    clocks = readings([1980.0, 1980.0, *range(1000, 1008)])
    machine = Machine(lambda call: Lap(1.0, 1.0), now=lambda: 0.0, conditions=clocks)
    reading = timed(lambda: None, lambda: None, machine, QUICK)
    assert [s.conditions.clock for s in reading.samples] == list(range(1000, 1008))


@pytest.mark.parametrize(
    ("reasons", "processes", "problem"),
    [(0x4, 1, "throttled: power cap"), (0x0, 2, "another process on the device")],
)
def test_a_throttled_or_crowded_device_gives_no_device_time(reasons: int, processes: int, problem: str) -> None:
    device = QueuedDevice()
    call = device.call(kernels=1, launching=1e-5, computing=1e-3)
    reading = queued_timing(device, call, trouble=lambda: trouble(reasons, processes))
    assert reading.seconds == []
    assert reading.troubles == {problem: len(reading.samples)}


def made_up_subject(device: QueuedDevice, call: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> object:
    target = replace(device.accelerator(), conditions=Conditions)
    for place in (module, latency_module, timing):
        monkeypatch.setattr(place, "accelerator", lambda _: target)
    monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: device.host)
    short = Schedule(samples=8, seconds=10, warmup_seconds=0.0)
    real = timing.device_timing
    for place in (module, latency_module):
        monkeypatch.setattr(place, "device_timing", lambda call, **how: real(call, **{**how, "plan": short}))

    class Subject:
        forward = staticmethod(call)
        threads = batch = 1
        device = "made-up"

    return Subject()


def test_latency_names_what_bounds_it_and_device_latency_is_a_metric_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    device = QueuedDevice()
    call = device.call(kernels=10, launching=1e-4, computing=3e-5)
    subject = made_up_subject(device, call, monkeypatch)
    elapsed = Timing((Sample(1.03e-3, 1e-3),), 6, True, "3 s", (0.0, 0.0))
    detail = latency_module.on_device(subject, elapsed)  # type: ignore[arg-type]
    assert detail == {"launch_ms": pytest.approx(1.0), "device_ms": pytest.approx(0.3), "bound_by": "launches"}
    reading = module.device_latency(subject)  # type: ignore[arg-type]
    assert reading.value == pytest.approx([0.3] * 15)  # a whole round
    assert (reading.detail["clock"], reading.error) == ("device", None)


def test_device_latency_of_a_network_that_waits_is_an_error_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    device = QueuedDevice()
    reading = module.device_latency(made_up_subject(device, device.synchronize, monkeypatch))  # type: ignore[arg-type]
    assert reading.value is None
    assert reading.error is not None
    assert reading.error.endswith(f"{STARTED_EARLY}; state graph: true")


def test_a_cpu_has_no_device_time() -> None:
    from torch import nn

    from bench.hardware.subject import Subject

    with pytest.raises(DoesNotApplyError, match="computes in the calling thread"):
        module.device_latency(Subject(build=lambda: nn.Conv2d(1, 1, 1), shape=(1, 2, 2)))
    assert latency_module.on_device(Subject(build=nn.Identity, shape=(1,)), at_clocks(1.0)) == {}


def test_nothing_is_pinned_for_a_device_whose_driver_has_threads() -> None:
    import os

    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    with pinned_for("cuda:0", 1) as cores:
        assert cores == ()
        assert before == (os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set())


class Module:
    """What `torch.xpu` and modules like it have; `synchronize` and memory take the name of the device."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def synchronize(self, device: str) -> None:
        self.asked.append(device)

    def memory_allocated(self, device: str) -> int:
        return 100

    def max_memory_allocated(self, device: str) -> int:
        return 130

    def reset_peak_memory_stats(self, device: str) -> None:
        self.asked.append(f"reset {device}")


def test_another_kind_of_device_is_measured_by_what_its_module_offers(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from bench.metrics.memory import allocator_growth

    made_up = Module()
    monkeypatch.setattr(torch, "xpu", made_up)
    accelerator_module.accelerator.cache_clear()
    target = accelerator("xpu:1")
    assert (target.kind, target.event, target.queues) == ("xpu", None, False)
    assert (target.trouble(), target.conditions()) == ("", Conditions(None, None))  # not known
    assert allocator_growth(lambda: None, target) == [30, 30, 30]
    assert made_up.asked[:2] == ["xpu:1", "reset xpu:1"]
    accelerator_module.accelerator.cache_clear()


def test_a_device_that_cannot_be_waited_for_is_refused() -> None:
    with pytest.raises(ValueError, match="'meta' cannot be timed"):
        accelerator("meta")
    cpu = accelerator("cpu")
    assert cpu == Accelerator("cpu", synchronize=cpu.synchronize, facts=cpu.facts)
    assert cpu.facts() == device_facts("cpu")
