from __future__ import annotations

import itertools
import time

import pytest
import torch
from torch import nn

from bench.stopwatch import lap, thread_count
from bench.timing import Plan, moved, timed, timed_forward, warmed_up

QUICK = Plan(samples=6, seconds=10, least=1, round_seconds=0.0, warmup_seconds=0.0)


def test_a_lap_tells_waiting_from_working() -> None:
    waited = lap(lambda: time.sleep(0.05), "cpu")
    assert waited.elapsed >= 0.05
    assert waited.cpu < 0.04


def test_warm_up_ends_when_times_no_longer_fall() -> None:
    falling = iter([9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0])
    # medians of windows of three: 8, 5, 3, 3
    assert warmed_up(lambda: next(falling), seconds=100) == 12


def test_warm_up_ends_when_its_time_is_up() -> None:
    halving = (2.0**-i for i in itertools.count())
    assert warmed_up(lambda: next(halving), seconds=1.9) == 6  # 1 + 1/2 + ... + 1/32 = 1.97


def test_every_round_has_its_own_layout_and_an_uncounted_call() -> None:
    calls: list[str] = []
    plan = Plan(samples=3, seconds=10, least=1, round_seconds=1e-9, warmup_seconds=0.0)
    laps = timed(lambda: (calls.append("call"), time.sleep(1e-4)), lambda: calls.append("redraw"), "cpu", plan)
    assert calls[laps.warmup :] == ["redraw", "call", "call"] * 3
    assert (len(laps.laps), laps.layouts, laps.stopped) == (3, 3, "3 samples")


def test_timing_stops_when_the_time_is_up_but_not_before_the_least() -> None:
    plan = Plan(samples=1000, seconds=0.0, least=4, round_seconds=1e-9, warmup_seconds=0.0)
    laps = timed(lambda: time.sleep(1e-4), lambda: None, "cpu", plan)
    assert len(laps.laps) == 4
    assert laps.stopped == "0 s"


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


def test_timing_a_network_counts_its_calls_and_leaves_the_threads() -> None:
    before, seen = torch.get_num_threads(), set[tuple[int, bool]]()

    class Watched(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.add((torch.get_num_threads(), torch.is_inference_mode_enabled()))
            return x + 1

    laps = timed_forward(Watched(), (torch.zeros(2),), device="cpu", threads=before + 1, plan=QUICK)
    assert seen == {(before + 1, True)}
    assert torch.get_num_threads() == before
    assert len(laps.laps) >= 6


def test_the_threads_are_restored_after_an_error() -> None:
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), thread_count(before + 1):
        raise ZeroDivisionError
    assert torch.get_num_threads() == before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_lap_on_cuda_waits_for_the_device() -> None:
    x = torch.randn(4096, 4096, device="cuda")

    def work() -> None:
        for _ in range(50):
            x @ x

    lap(work, "cuda")
    taken = lap(work, "cuda")
    assert taken.elapsed > 50 * 2 * 4096**3 / 1e15  # no device multiplies faster than 1 PFLOP/s in fp32
