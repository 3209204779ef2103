"""Timing against a made-up clock: no number here depends on how fast anything is."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from torch import nn

from bench.hardware.stopwatch import Lap
from bench.hardware.timing import (
    Machine,
    Sample,
    Schedule,
    Timing,
    enough,
    explained,
    judged,
    layout_medians,
    moved,
    timed,
    timed_call,
    times_of,
    warmed_up,
    why_stop,
)

QUICK = Schedule(samples=6, seconds=10, least=1, round_seconds=0.0, warmup_seconds=0.0)
STEADY = Lap(1.0, 1.0)


class Clock:
    """A machine on which a call takes what it is told to take, and time passes only by calls.

    `waiting` is how long the next call waits for a core; without it the kernel does not count that.
    """

    def __init__(
        self,
        laps: Iterator[Lap],
        switching: Callable[[int], bool] = lambda call: False,
        waiting: Callable[[int], float] | None = None,
    ) -> None:
        self.laps, self.switching, self.waiting = laps, switching, waiting
        self.time, self.calls, self.switched, self.waited = 0.0, 0, 0, 0.0

    def lap(self, call: Callable[[], object]) -> Lap:
        call()
        taken = next(self.laps)
        self.time += taken.elapsed
        self.calls += 1
        self.switched += self.switching(self.calls)
        self.waited += self.waiting(self.calls) if self.waiting else 0.0
        return taken

    def machine(self, trouble: Callable[[], str] = str) -> Machine:
        loads = iter([0.5, 1.5])
        waited = (lambda: self.waited) if self.waiting else lambda: None
        return Machine(self.lap, lambda: self.time, lambda: self.switched, lambda: next(loads), trouble, waited)


def nothing() -> None:
    return None


def taken(plan: Schedule, laps: Iterator[Lap] | None = None, **how: object) -> Timing:
    clock = Clock(laps or itertools.repeat(STEADY))
    return timed(nothing, nothing, clock.machine(**how), plan)  # type: ignore[arg-type]


def test_warm_up_ends_when_times_no_longer_fall() -> None:
    falling = iter([9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0])
    # medians of windows of three: 8, 5, 3, 3
    assert warmed_up(lambda: next(falling), seconds=100) == (12, True)


def test_warm_up_ends_when_its_time_is_up_and_says_that_it_was_not_steady() -> None:
    halving = (2.0**-i for i in itertools.count())
    assert warmed_up(lambda: next(halving), seconds=1.9) == (6, False)  # 1 + 1/2 + ... + 1/32 = 1.97


def test_a_slow_first_call_is_no_part_of_the_warm_up() -> None:
    compiled = itertools.chain([Lap(100.0, 100.0)], (Lap(1 + 2.0**-i, 1.0) for i in itertools.count()))
    assert taken(replace(QUICK, warmup_seconds=20), compiled).steady


def test_every_round_has_its_own_layout_and_an_uncounted_call() -> None:
    events: list[str] = []
    clock = Clock(itertools.repeat(STEADY))
    plan = replace(QUICK, samples=3)
    timing = timed(lambda: events.append("call"), lambda: events.append("redraw"), clock.machine(), plan)
    assert events[timing.warmup :] == ["redraw", "call", "call"] * 3
    assert [s.layout for s in timing.samples] == [0, 1, 2]
    assert timing.stopped == "3 samples"
    assert timing.load == (0.5, 1.5)


def test_what_prepares_a_call_runs_before_every_counted_one() -> None:
    events: list[str] = []
    clock = Clock(itertools.repeat(STEADY))
    plan = Schedule(samples=4, calls=2, round_seconds=100, seconds=100)
    timing = timed(lambda: events.append("c"), nothing, clock.machine(), plan, lambda: events.append("flush"))
    assert events[timing.warmup :] == ["c", "flush", "c", "flush", "c"] * 2


def test_a_round_ends_by_time_or_by_calls() -> None:
    by_time = taken(Schedule(samples=9, round_seconds=3.0, seconds=100))
    assert [s.layout for s in by_time.samples] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    by_calls = taken(Schedule(samples=4, round_seconds=1e9, calls=2, seconds=1e9))
    assert [s.layout for s in by_calls.samples] == [0, 0, 1, 1]


def test_timing_stops_as_soon_as_the_interval_is_narrow() -> None:
    timing = taken(Schedule(layouts=20, calls=1, round_seconds=0.0, seconds=1e9))
    assert len(timing.samples) == 20
    assert timing.stopped == "interval within 1.0%"
    assert timing.interval == (1.0, 1.0)


def test_timing_goes_on_while_layouts_differ() -> None:
    uneven = (Lap(seconds, seconds) for seconds in itertools.cycle([1.0, 1.0, 2.2, 2.2]))
    timing = taken(Schedule(layouts=20, calls=1, round_seconds=0.0, seconds=100), uneven)
    assert timing.stopped == "100 s"
    assert sum(s.elapsed for s in timing.samples) < 200
    assert timing.low == 1.0


def test_the_time_limit_waits_for_the_least() -> None:
    timing = taken(Schedule(seconds=0.0, least=4, round_seconds=0.0))
    assert len(timing.samples) == 4
    assert timing.stopped == "0 s"


def test_many_calls_on_few_layouts_are_no_narrow_interval() -> None:
    samples = [Sample(1.0, 1.0, layout=i % 5) for i in range(1000)]
    assert why_stop(samples, 0.0, Schedule(samples=2000)) == ""
    assert why_stop([replace(s, layout=i % 20) for i, s in enumerate(samples)], 0.0, Schedule(samples=2000))


def test_a_preempted_call_is_kept_and_marked() -> None:
    # Every seventh call waits for as long as it works, and loses its core meanwhile.
    laps = (Lap(2.0, 1.0) if i % 7 == 0 else STEADY for i in itertools.count(1))
    clock = Clock(laps, switching=lambda call: call % 7 == 0)
    plan = Schedule(samples=28, tolerance=-1, calls=1, seconds=1e9)
    timing = timed(nothing, nothing, clock.machine(), plan)
    assert len(timing.samples) == 28
    assert timing.troubles["preempted"] == sum(s.elapsed == 2.0 for s in timing.samples) > 0
    assert set(timing.seconds) == {1.0}
    told = explained(timing)
    assert (told["clock"], told["disturbed"]) == ("elapsed", False)
    assert told["bad_samples"] == [["preempted", 2000.0]] * timing.troubles["preempted"]
    assert told["percentiles_ms"]["p99"] == 1000.0


@pytest.mark.parametrize(
    ("sample", "bad"),
    [
        (Sample(1.0, 0.5, switches=1), True),
        (Sample(1.0, 0.5, switches=0), False),  # waited, but for nobody else: part of the call
        (Sample(1.0, 0.97, switches=1), False),  # too short a loss to matter
        (Sample(9.0, 9.0, switches=5), False),  # slow, but it had its core
        (Sample(1.0, 0.5, switches=1, waited=0.0), False),  # slept, as the kernel says
        (Sample(1.0, 0.5, switches=0, waited=0.4), True),
        (Sample(1.0, 0.96, switches=2, waited=0.04), False),
    ],
)
def test_what_makes_a_call_preempted(sample: Sample, bad: bool) -> None:
    *_, last = judged([*[STEADY_SAMPLE] * 20, sample])
    assert bool(last.trouble) is bad


STEADY_SAMPLE = Sample(1.0, 1.0)


def test_on_several_threads_the_usual_share_is_that_of_the_calls_themselves() -> None:
    usual = [Sample(1.0, 1.5, switches=1)] * 20  # two threads, one idle half of the time
    *_, last = judged([*usual, Sample(1.5, 1.5, switches=1)])
    assert [s.trouble for s in judged(usual)] == [""] * 20
    assert last.trouble == "preempted"


def test_trouble_with_the_device_marks_its_round() -> None:
    told = iter(["asked before the first round", "", "throttled: power cap", ""])
    timing = taken(Schedule(samples=3, calls=1, seconds=1e9), trouble=lambda: next(told))
    assert [s.trouble for s in timing.samples] == ["", "throttled: power cap", ""]


def test_where_every_sample_is_bad_timing_ends_all_the_same() -> None:
    timing = taken(Schedule(seconds=5, calls=1), trouble=lambda: "another process on the device")
    assert timing.seconds == []
    assert timing.interval is None
    assert explained(timing)["low_ms"] is None
    assert timing.stopped == "5 s"


def test_the_clock_of_a_call_that_sleeps_is_elapsed_time_on_a_calm_and_on_a_busy_machine() -> None:
    # Works for 10 ms and sleeps for 200 ms; on the busy machine each call also loses its core, for 1 ms.
    calm = Clock(itertools.repeat(Lap(0.21, 0.01)), waiting=lambda call: 0.0)
    busy = Clock(itertools.repeat(Lap(0.211, 0.01)), switching=lambda call: True, waiting=lambda call: 0.001)
    for clock, expected in ((calm, 0.21), (busy, 0.211)):
        timing = timed(nothing, nothing, clock.machine(), Schedule(samples=40, calls=1, seconds=1e9))
        assert set(timing.seconds) == {expected}
        assert timing.troubles == {}
        assert not timing.disturbed


def test_a_call_that_sleeps_is_not_preempted_where_the_kernel_does_not_count_the_waiting() -> None:
    busy = Clock(itertools.repeat(Lap(0.211, 0.01)), switching=lambda call: True)
    timing = timed(nothing, nothing, busy.machine(), Schedule(samples=40, calls=1, seconds=1e9))
    assert (set(timing.seconds), timing.troubles) == ({0.211}, {})


def test_where_nearly_every_call_waits_for_a_core_the_least_disturbed_ones_are_used_and_it_says_so() -> None:
    # Every call works for 1 s and waits for 2 s, every tenth for 0.5 s only.
    waits = [0.5 if (call // 2) % 10 == 0 else 2.0 for call in range(200)]  # every second call is counted
    laps = (Lap(1.0 + waits[call], 1.0) for call in itertools.count(1))
    busy = Clock(laps, switching=lambda call: True, waiting=lambda call: waits[call])
    timing = timed(nothing, nothing, busy.machine(), Schedule(samples=50, calls=1, seconds=1e9))
    assert timing.disturbed
    assert set(timing.seconds) == {1.5}  # elapsed time, and never the CPU time of 1 s
    assert timing.troubles == {"preempted": 50}
    assert explained(timing)["disturbed"] is True


@pytest.mark.parametrize(("good", "bad", "used"), [(5, 0, 5), (5, 45, 5), (4, 40, 5), (5, 46, 6)])
def test_the_good_ones_are_read_where_there_are_enough(good: int, bad: int, used: int) -> None:
    samples = [STEADY_SAMPLE] * good + [Sample(3.0, 1.0, switches=1, trouble="preempted", waited=2.0)] * bad
    assert len(times_of(samples)) == used
    assert enough(samples) is (used == good)


def test_samples_of_a_device_in_trouble_are_never_used() -> None:
    samples = [Sample(1.0, 1.0, trouble="throttled: power cap")] * 8 + [Sample(3.0, 1.0, 7, trouble="preempted")]
    assert times_of(samples) == ((7, 3.0),)


CHILD = "import time; t = time.perf_counter()\nwhile time.perf_counter() < t + 0.03: pass"


@pytest.mark.parametrize(
    ("call", "threads"),
    [
        (lambda: time.sleep(0.03), 1),
        (lambda: time.sleep(0.03), 2),
        (lambda: subprocess.run([sys.executable, "-S", "-c", CHILD], check=True), 1),
        (lambda: _joined(threading.Thread(target=time.sleep, args=(0.03,))), 1),
    ],
    ids=["sleeps", "sleeps, two threads", "waits for a child process", "waits for a thread"],
)
def test_latency_is_what_the_caller_waits_for(call: Callable[[], object], threads: int) -> None:
    plan = Schedule(samples=3, seconds=10, round_seconds=0.0, warmup_seconds=0.0)
    timing = timed_call(call, list, device="cpu", threads=threads, plan=plan)
    assert all(seconds >= 0.03 for seconds in timing.seconds)
    assert explained(timing)["clock"] == "elapsed"


def _joined(thread: threading.Thread) -> None:
    thread.start()
    thread.join()


def test_layouts_weigh_the_same_however_often_they_were_timed() -> None:
    assert layout_medians([(0, 1.0)] * 9 + [(1, 3.0)]) == [1.0, 3.0]


def test_moving_changes_addresses_and_no_value() -> None:
    layer = nn.Conv2d(3, 8, 3).to(memory_format=torch.channels_last)
    before = [(p.data_ptr(), p.detach().clone(), p.stride()) for p in layer.parameters()]
    with torch.inference_mode():
        kept = moved(list(layer.parameters()), torch.Generator().manual_seed(0))
    for parameter, (address, value, stride) in zip(layer.parameters(), before, strict=True):
        assert parameter.data_ptr() != address
        assert torch.equal(parameter, value)
        assert parameter.stride() == stride
    layer(torch.randn(1, 3, 8, 8)).sum().backward()  # can still be trained
    assert kept.numel() > 0


@pytest.mark.parametrize("gradients", [False, True])
def test_a_call_runs_on_its_threads_in_its_mode_and_leaves_both(gradients: bool) -> None:
    before, seen = torch.get_num_threads(), set[tuple[int, bool, bool]]()
    x = torch.zeros(2)
    addresses = set[int]()

    def call() -> None:
        addresses.add(x.data_ptr())
        seen.add((torch.get_num_threads(), torch.is_inference_mode_enabled(), torch.is_grad_enabled()))

    timing = timed_call(call, lambda: [x], device="cpu", threads=before + 1, gradients=gradients, plan=QUICK)
    assert seen == {(before + 1, not gradients, gradients)}
    assert torch.get_num_threads() == before
    assert len(timing.samples) >= 6
    assert len(addresses) > 1
